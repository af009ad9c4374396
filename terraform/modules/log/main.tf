# The log: Amazon MSK, one cluster a region. Clients log in by their AWS identity over TLS and in no other way; nobody
# from outside the network reaches a broker. Topics are made by the service, which knows what it needs of them.

locals {
  iam_port = 9098
  # By these a replicator of another region comes in (private links of MSK, one port a broker).
  link_ports = { first = 14001, last = 14100 }
}

resource "aws_security_group" "brokers" {
  name        = "${var.name}-brokers"
  description = "The brokers of the log"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-brokers" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  description                  = "The roles of this region"
  from_port                    = local.iam_port
  ip_protocol                  = "tcp"
  referenced_security_group_id = var.client_security_group_id
  security_group_id            = aws_security_group.brokers.id
  to_port                      = local.iam_port
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  description                  = "To the brokers of this region"
  from_port                    = local.iam_port
  ip_protocol                  = "tcp"
  referenced_security_group_id = aws_security_group.brokers.id
  security_group_id            = var.client_security_group_id
  to_port                      = local.iam_port
}

# `ack: all-regions`: each region lets the others' intakes in, and its own out to them.
resource "aws_vpc_security_group_ingress_rule" "peers" {
  for_each = var.peers

  cidr_ipv4         = each.value.cidr
  description       = "The intake of ${each.key}"
  from_port         = local.iam_port
  ip_protocol       = "tcp"
  security_group_id = aws_security_group.brokers.id
  to_port           = local.iam_port
}

resource "aws_vpc_security_group_egress_rule" "peers" {
  for_each = var.peers

  cidr_ipv4         = each.value.cidr
  description       = "To the brokers of ${each.key}"
  from_port         = local.iam_port
  ip_protocol       = "tcp"
  security_group_id = var.client_security_group_id
  to_port           = local.iam_port
}

resource "aws_vpc_security_group_ingress_rule" "replicators" {
  for_each = {
    iam   = { first = local.iam_port, last = local.iam_port }
    links = local.link_ports
  }

  description                  = "Replicators, by ${each.key}"
  from_port                    = each.value.first
  ip_protocol                  = "tcp"
  referenced_security_group_id = aws_security_group.replicators.id
  security_group_id            = aws_security_group.brokers.id
  to_port                      = each.value.last
}

# Brokers among themselves.
resource "aws_vpc_security_group_ingress_rule" "brokers" {
  description                  = "Brokers"
  from_port                    = 0
  ip_protocol                  = "tcp"
  referenced_security_group_id = aws_security_group.brokers.id
  security_group_id            = aws_security_group.brokers.id
  to_port                      = 65535
}

resource "aws_vpc_security_group_egress_rule" "brokers" {
  description                  = "Brokers"
  from_port                    = 0
  ip_protocol                  = "tcp"
  referenced_security_group_id = aws_security_group.brokers.id
  security_group_id            = aws_security_group.brokers.id
  to_port                      = 65535
}

resource "aws_cloudwatch_log_group" "brokers" {
  name              = "/tocsin/${var.name}/brokers"
  kms_key_id        = var.key_arn
  retention_in_days = 14
}

# What a topic does not say for itself. Nothing makes a topic by naming it, and no replica that lacks acknowledged
# records is ever elected (MSK's own default lets it).
resource "aws_msk_configuration" "this" {
  name           = var.name
  kafka_versions = [var.kafka_version]

  server_properties = <<-PROPERTIES
    auto.create.topics.enable=false
    default.replication.factor=${var.replication_factor}
    message.max.bytes=3145728
    min.insync.replicas=${var.min_insync_replicas}
    replica.fetch.max.bytes=3145728
    unclean.leader.election.enable=false
  PROPERTIES

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  enhanced_monitoring    = "PER_TOPIC_PER_BROKER"
  kafka_version          = var.kafka_version
  number_of_broker_nodes = length(var.subnet_ids) * var.broker.per_zone

  broker_node_group_info {
    client_subnets  = var.subnet_ids
    instance_type   = var.broker.instance_type
    security_groups = [aws_security_group.brokers.id]

    connectivity_info {
      public_access {
        type = "DISABLED"
      }

      vpc_connectivity {
        client_authentication {
          sasl {
            iam = true
          }
        }
      }
    }

    storage_info {
      ebs_storage_info {
        volume_size = var.broker.storage_gib
      }
    }
  }

  client_authentication {
    unauthenticated = false

    sasl {
      iam   = true
      scram = false
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.key_arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.brokers.name
      }
    }
  }

  open_monitoring {
    prometheus {
      jmx_exporter {
        enabled_in_broker = true
      }

      node_exporter {
        enabled_in_broker = true
      }
    }
  }

  lifecycle {
    # Disks grow by themselves (below), and cannot shrink.
    ignore_changes = [broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size]
  }
}

resource "aws_appautoscaling_target" "storage" {
  max_capacity       = 4 * var.broker.storage_gib
  min_capacity       = 1
  resource_id        = aws_msk_cluster.this.arn
  scalable_dimension = "kafka:broker-storage:VolumeSize"
  service_namespace  = "kafka"
}

resource "aws_appautoscaling_policy" "storage" {
  name               = "${var.name}-storage"
  policy_type        = "TargetTrackingScaling"
  resource_id        = aws_appautoscaling_target.storage.resource_id
  scalable_dimension = aws_appautoscaling_target.storage.scalable_dimension
  service_namespace  = aws_appautoscaling_target.storage.service_namespace

  target_tracking_scaling_policy_configuration {
    disable_scale_in = true
    target_value     = 60

    predefined_metric_specification {
      predefined_metric_type = "KafkaBrokerStorageUtilization"
    }
  }
}
