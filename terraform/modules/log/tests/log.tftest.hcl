# The log: who gets in, what is kept how, and what is brought from peers.

mock_provider "aws" {
  source          = "../../mocks"
  override_during = plan
}

override_resource {
  target          = aws_msk_replicator.from["eu-west-1"]
  override_during = plan
  values = {
    replication_info_list = { source_kafka_cluster_alias = "eu-west-1-alias" }
  }
}

variables {
  account_id               = "111122223333"
  broker                   = { instance_type = "kafka.m7g.large", per_zone = 1, storage_gib = 500 }
  client_security_group_id = "sg-roles"
  kafka_version            = "3.8.x"
  key_arn                  = "arn:aws:kms:eu-central-1:111122223333:key/1"
  min_insync_replicas      = 2
  name                     = "eu-central-1"
  replication_factor       = 3
  subnet_ids               = ["subnet-1", "subnet-2", "subnet-3"]
  vpc_id                   = "vpc-10"

  peers = {
    eu-west-1 = {
      arn               = "arn:aws:kafka:eu-west-1:111122223333:cluster/eu-west-1/2"
      cidr              = "10.20.0.0/16"
      mirror_prefix     = "eu-west-1-alias."
      security_group_id = "sg-west"
      subnet_ids        = ["subnet-4", "subnet-5", "subnet-6"]
    }
  }
}

run "nobody_gets_in_without_an_identity_and_tls" {
  command = plan

  assert {
    condition     = aws_msk_cluster.this.client_authentication[0].unauthenticated == false && aws_msk_cluster.this.client_authentication[0].sasl[0].iam
    error_message = "A broker takes clients that it does not know."
  }

  assert {
    condition     = aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].client_broker == "TLS" && aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].in_cluster
    error_message = "Records cross the network in plain text."
  }

  assert {
    condition     = aws_msk_cluster.this.encryption_info[0].encryption_at_rest_kms_key_arn == "arn:aws:kms:eu-central-1:111122223333:key/1"
    error_message = "Records lie on disks under a key that is not ours."
  }

  assert {
    condition     = aws_msk_cluster.this.broker_node_group_info[0].connectivity_info[0].public_access[0].type == "DISABLED"
    error_message = "Brokers have public addresses."
  }
}

run "an_acknowledged_record_survives_a_broker" {
  command = plan

  assert {
    condition     = strcontains(aws_msk_configuration.this.server_properties, "unclean.leader.election.enable=false")
    error_message = "A replica that lacks acknowledged records may be elected."
  }

  assert {
    condition     = strcontains(aws_msk_configuration.this.server_properties, "min.insync.replicas=2") && strcontains(aws_msk_configuration.this.server_properties, "default.replication.factor=3")
    error_message = "A record is acknowledged that one broker has."
  }

  assert {
    condition     = strcontains(aws_msk_configuration.this.server_properties, "auto.create.topics.enable=false")
    error_message = "A mistyped name makes a topic."
  }

  assert {
    condition     = aws_msk_cluster.this.number_of_broker_nodes == 3
    error_message = "Brokers are not one a zone."
  }
}

run "peers_are_let_in_as_we_go_to_them" {
  command = plan

  assert {
    condition     = { for name, rule in aws_vpc_security_group_ingress_rule.peers : name => [rule.cidr_ipv4, rule.from_port, rule.to_port] } == { for name, rule in aws_vpc_security_group_egress_rule.peers : name => [rule.cidr_ipv4, rule.from_port, rule.to_port] }
    error_message = "What a peer may do here is not what we may do there."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.peers["eu-west-1"].cidr_ipv4 == "10.20.0.0/16" && aws_vpc_security_group_ingress_rule.peers["eu-west-1"].from_port == 9098 && aws_vpc_security_group_ingress_rule.peers["eu-west-1"].to_port == 9098
    error_message = "Others than the peer, or more than the brokers' one port."
  }
}

run "mirror_brings_all_from_the_earliest_under_a_prefix" {
  command = plan

  assert {
    condition     = aws_msk_replicator.from["eu-west-1"].replication_info_list[0].source_kafka_cluster_arn == "arn:aws:kafka:eu-west-1:111122223333:cluster/eu-west-1/2" && aws_msk_replicator.from["eu-west-1"].replication_info_list[0].target_kafka_cluster_arn == aws_msk_cluster.this.arn
    error_message = "The mirror runs the wrong way."
  }

  assert {
    condition     = aws_msk_replicator.from["eu-west-1"].replication_info_list[0].topic_replication[0].starting_position[0].type == "EARLIEST"
    error_message = "What was taken before the mirror was there never comes over."
  }

  assert {
    condition     = aws_msk_replicator.from["eu-west-1"].replication_info_list[0].topic_replication[0].topic_name_configuration[0].type == "PREFIXED_WITH_SOURCE_CLUSTER_ALIAS"
    error_message = "Mirrored records fall among our own."
  }

  assert {
    condition     = aws_msk_replicator.from["eu-west-1"].replication_info_list[0].topic_replication[0].topics_to_replicate == toset(["^requests$", "^ledger$", "^directory$", "^feedback$"])
    error_message = "Other topics are mirrored than those that regions tell each other."
  }

  assert {
    condition     = output.mirror_prefixes == { eu-west-1 = "eu-west-1-alias." }
    error_message = "The prefix that is written back is not the replicator's."
  }
}

run "mirror_waits_for_the_peer" {
  command = plan

  variables {
    peers = { eu-west-1 = { cidr = "10.20.0.0/16" } }
  }

  assert {
    condition     = length(aws_msk_replicator.from) == 0 && length(aws_iam_role_policy.replicator) == 0
    error_message = "A mirror was planned from a log that is not there."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.peers["eu-west-1"].cidr_ipv4 == "10.20.0.0/16"
    error_message = "The peer would not be let in when it comes."
  }
}

run "another_prefix_than_was_written_back_is_refused" {
  command = plan

  variables {
    peers = {
      eu-west-1 = {
        arn               = "arn:aws:kafka:eu-west-1:111122223333:cluster/eu-west-1/2"
        cidr              = "10.20.0.0/16"
        mirror_prefix     = "the-one-before."
        security_group_id = "sg-west"
        subnet_ids        = ["subnet-4", "subnet-5", "subnet-6"]
      }
    }
  }

  expect_failures = [aws_msk_replicator.from["eu-west-1"]]
}
