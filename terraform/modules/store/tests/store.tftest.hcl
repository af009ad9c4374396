# A store of nodes that are made here, and one that is given.

mock_provider "aws" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  client_security_group_id = "sg-roles"
  key_arn                  = "arn:aws:kms:eu-central-1:111122223333:key/1"
  local_dc                 = "eu-central-1"
  name                     = "eu-central-1-blue"
  vpc_id                   = "vpc-10"

  nodes = { ami = "ami-1", instance_type = "m7g.xlarge", per_zone = 2, storage_gib = 1000 }

  subnets = {
    eu-central-1a = { id = "subnet-1", cidr = "10.10.0.0/20" }
    eu-central-1b = { id = "subnet-2", cidr = "10.10.16.0/20" }
    eu-central-1c = { id = "subnet-3", cidr = "10.10.32.0/20" }
  }
}

run "nodes_have_chosen_addresses_and_disks_of_their_own" {
  command = plan

  assert {
    condition     = output.contact_points == tolist(["10.10.0.10:9042", "10.10.0.11:9042", "10.10.16.10:9042", "10.10.16.11:9042", "10.10.32.10:9042", "10.10.32.11:9042"])
    error_message = "Addresses moved: certificates name them."
  }

  assert {
    condition     = alltrue([for disk in aws_ebs_volume.node : disk.encrypted && disk.kms_key_id == var.key_arn]) && alltrue([for node in aws_instance.node : node.root_block_device[0].encrypted])
    error_message = "Data lies on a disk in plain text."
  }

  assert {
    condition     = alltrue([for node in aws_instance.node : node.metadata_options[0].http_tokens == "required"])
    error_message = "A request that was smuggled to a node could read its identity."
  }

  assert {
    condition     = strcontains(aws_instance.node["eu-central-1a-1"].user_data, "seeds: \"10.10.0.10,10.10.16.10,10.10.32.10\"")
    error_message = "The seeds are not the first node of each zone."
  }
}

run "roles_and_nodes_alone_reach_nodes" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.referenced_security_group_id == "sg-roles" && aws_vpc_security_group_ingress_rule.clients.cidr_ipv4 == null
    error_message = "Others than the roles reach the store."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.ring.from_port == 7001 && aws_vpc_security_group_ingress_rule.ring.to_port == 7001
    error_message = "Nodes speak to each other on another port than that of TLS."
  }
}

run "given_nodes_are_used_and_none_is_made" {
  command = plan

  variables {
    contact_points = ["cassandra-1.example.com:9142", "cassandra-2.example.com:9142"]
    nodes          = null
  }

  assert {
    condition     = length(aws_instance.node) == 0 && output.contact_points == tolist(["cassandra-1.example.com:9142", "cassandra-2.example.com:9142"])
    error_message = "Nodes were made beside those that are given."
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.clients["9142"].from_port == 9142
    error_message = "The roles cannot reach the nodes that are given."
  }

  assert {
    condition     = keys(output.secrets) == ["ca", "password"]
    error_message = "The service lacks a secret, or a node's is made for nobody."
  }
}
