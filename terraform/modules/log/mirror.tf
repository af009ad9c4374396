# Mirrors: MSK Replicator, made in the region that reads. So of a pair each region makes one, and both directions are
# there when both regions are; neither needs the other to be up when it is planned.
#
# Topics keep their peer's name behind a prefix that AWS chooses when the replicator is made. It is written back to
# `deployed/` and is a one-way door: were it another one day, the region would read its peer's log from the start.

locals {
  mirrored = { for name, peer in var.peers : name => peer if peer.arn != null }
  # What one region tells another (tocsin.topology.region.MIRRORED). Never what was mirrored already: it has a prefix.
  topics = ["requests", "ledger", "directory", "feedback"]

  prefixes = {
    for name, replicator in aws_msk_replicator.from :
    name => "${replicator.replication_info_list[0].source_kafka_cluster_alias}."
  }
}

resource "aws_security_group" "replicators" {
  name        = "${var.name}-replicators"
  description = "Replicators at this region's log: ours that write to it, and the peers' that read it"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-replicators" }
}

resource "aws_vpc_security_group_egress_rule" "replicators" {
  for_each = {
    iam   = { first = local.iam_port, last = local.iam_port }
    links = local.link_ports
  }

  description                  = "To the brokers, by ${each.key}"
  from_port                    = each.value.first
  ip_protocol                  = "tcp"
  referenced_security_group_id = aws_security_group.brokers.id
  security_group_id            = aws_security_group.replicators.id
  to_port                      = each.value.last
}

# Lets the replicators of the peers come to this log by a private link.
resource "aws_msk_cluster_policy" "replicators" {
  cluster_arn = aws_msk_cluster.this.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "kafka.amazonaws.com" }
      Action    = ["kafka:CreateVpcConnection", "kafka:GetBootstrapBrokers", "kafka:DescribeClusterV2"]
      Resource  = aws_msk_cluster.this.arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role" "replicator" {
  name = "${var.name}-replicator"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "kafka.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

# Reads the peers' four topics, writes their copies here. MSK Replicator's own topics begin with two underscores.
resource "aws_iam_role_policy" "replicator" {
  for_each = local.mirrored

  name = "from-${each.key}"
  role = aws_iam_role.replicator.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["kafka-cluster:Connect", "kafka-cluster:DescribeCluster", "kafka-cluster:AlterCluster", "kafka-cluster:WriteDataIdempotently"]
        Resource = [each.value.arn, aws_msk_cluster.this.arn]
      },
      {
        Effect   = "Allow"
        Action   = ["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration", "kafka-cluster:ReadData"]
        Resource = [for topic in concat(local.topics, ["__*"]) : "${replace(each.value.arn, ":cluster/", ":topic/")}/${topic}"]
      },
      {
        Effect   = "Allow"
        Action   = ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]
        Resource = [for arn in [each.value.arn, aws_msk_cluster.this.arn] : "${replace(arn, ":cluster/", ":group/")}/*"]
      },
      {
        Effect = "Allow"
        Action = [
          "kafka-cluster:CreateTopic", "kafka-cluster:AlterTopic", "kafka-cluster:WriteData", "kafka-cluster:ReadData",
          "kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration", "kafka-cluster:AlterTopicDynamicConfiguration",
        ]
        Resource = concat(
          [for topic in local.topics : "${replace(aws_msk_cluster.this.arn, ":cluster/", ":topic/")}/*.${topic}"],
          ["${replace(aws_msk_cluster.this.arn, ":cluster/", ":topic/")}/__*"],
        )
      },
    ]
  })
}

resource "aws_msk_replicator" "from" {
  for_each = local.mirrored

  description                = "Brings the log of ${each.key} to ${var.name}"
  replicator_name            = "${var.name}-from-${each.key}"
  service_execution_role_arn = aws_iam_role.replicator.arn

  kafka_cluster {
    amazon_msk_cluster {
      msk_cluster_arn = each.value.arn
    }

    vpc_config {
      security_groups_ids = [each.value.security_group_id]
      subnet_ids          = each.value.subnet_ids
    }
  }

  kafka_cluster {
    amazon_msk_cluster {
      msk_cluster_arn = aws_msk_cluster.this.arn
    }

    vpc_config {
      security_groups_ids = [aws_security_group.replicators.id]
      subnet_ids          = var.subnet_ids
    }
  }

  replication_info_list {
    source_kafka_cluster_arn = each.value.arn
    target_compression_type  = "NONE"
    target_kafka_cluster_arn = aws_msk_cluster.this.arn

    # Offsets differ between regions, and positions are kept with the data: no group means anything in another region.
    consumer_group_replication {
      consumer_groups_to_exclude          = [".*"]
      consumer_groups_to_replicate        = ["none-is-replicated"]
      detect_and_copy_new_consumer_groups = false
      synchronise_consumer_group_offsets  = false
    }

    topic_replication {
      copy_access_control_lists_for_topics = false
      copy_topic_configurations            = true
      detect_and_copy_new_topics           = true
      topics_to_replicate                  = [for topic in local.topics : "^${topic}$"] # a pattern, which would take copies too

      # What was taken before the mirror was there is mirrored too.
      starting_position {
        type = "EARLIEST"
      }

      topic_name_configuration {
        type = "PREFIXED_WITH_SOURCE_CLUSTER_ALIAS"
      }
    }
  }

  lifecycle {
    postcondition {
      condition     = each.value.mirror_prefix == null || each.value.mirror_prefix == "${self.replication_info_list[0].source_kafka_cluster_alias}."
      error_message = "mirror_prefixes.${each.key} of deployed/${var.name}.json is ${coalesce(each.value.mirror_prefix, "-")}, and the replicator puts ${self.replication_info_list[0].source_kafka_cluster_alias}. before topics: it was made anew. Topics of the old prefix hold what was mirrored before. See terraform/README.md, one-way doors."
    }
  }

  depends_on = [aws_iam_role_policy.replicator]
}
