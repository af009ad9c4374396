# Faults by AWS FIS, in drill environments only, each of the name of the drill in chaos/ that it stands for, or of none
# that can be had without AWS. Each stops by itself when clients are hurt: a drill that hurts clients is over.
#
# None cuts the mirror: MSK Replicator goes from region to region by ways of AWS's own, which no action reaches.

locals {
  _of_region = { "tocsin:region" = var.name }
  _outage    = "PT10M"

  _faults = { for name, fault in merge(
    {
      for role in ["creator", "intake", "notifier"] : "${role}-killed" => {
        means = "Half of the tasks of the ${role} end at once", action = "aws:ecs:stop-task", parameters = {}
        kind  = "Tasks", type = "aws:ecs:task", mode = "PERCENT(50)", arns = []
        tags  = merge(local._of_region, { "tocsin:role" = role })
      }
    },
    length(var.instance_ids) == 0 ? {} : {
      store-down = {
        means = "All machines of the store stop", action = "aws:ec2:stop-instances"
        kind  = "Instances", type = "aws:ec2:instance", mode = "ALL", arns = []
        tags  = local._of_region

        parameters = { startInstancesAfterDuration = local._outage }
      }
    },
    {
      zone-lost = {
        means = "Nothing goes in or out of a zone: tasks, a broker, a node", action = "aws:network:disrupt-connectivity"
        kind  = "Subnets", type = "aws:ec2:subnet", mode = "COUNT(1)", arns = values(var.subnet_arns), tags = {}

        parameters = { duration = local._outage, scope = "all" }
      }
    },
    {
      for list in aws_ec2_managed_prefix_list.peers : "peer-link-cut" => {
        means = "Nothing goes to the peers' networks: no append by all-regions", action = "aws:network:disrupt-connectivity"
        kind  = "Subnets", type = "aws:ec2:subnet", mode = "ALL", arns = values(var.subnet_arns), tags = {}

        parameters = { duration = local._outage, scope = "prefix-list", prefixListIdentifier = list.id }
      }
    },
  ) : name => fault if var.drill }

  # Whom a drill must not hurt: who sends events, who reads, and who is to be paged. FIS takes five alarms at most.
  _stops = [
    for name, alarm in merge(aws_cloudwatch_metric_alarm.outside, aws_cloudwatch_metric_alarm.inside) : alarm.arn
    if contains(["EventsRefused", "ReadsRefused", "TocsinPagesFailing", "TocsinRecordsLost"], split("/", name)[0])
  ]
}

resource "aws_ec2_managed_prefix_list" "peers" {
  count = var.drill && length(var.peer_cidrs) > 0 ? 1 : 0

  name           = "${var.name}-peers"
  address_family = "IPv4"
  max_entries    = length(var.peer_cidrs)

  dynamic "entry" {
    for_each = var.peer_cidrs

    content {
      cidr        = entry.value
      description = entry.key
    }
  }
}

resource "aws_cloudwatch_log_group" "drill" {
  count = var.drill ? 1 : 0

  name              = "/aws/vendedlogs/tocsin/${var.name}/drills"
  kms_key_id        = var.key_arn
  retention_in_days = 90
}

resource "aws_iam_role" "drill" {
  count = var.drill ? 1 : 0
  name  = "${var.name}-drill"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "fis.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "drill" {
  count = var.drill ? 1 : 0
  name  = "faults"
  role  = aws_iam_role.drill[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Action    = ["ecs:DescribeTasks", "ecs:ListTasks", "ecs:StopTask"]
        Resource  = "*"
        Condition = { ArnLike = { "ecs:cluster" = "arn:aws:ecs:*:*:cluster/${var.cluster}" } }
      },
      {
        Effect    = "Allow"
        Action    = ["ec2:StartInstances", "ec2:StopInstances"]
        Resource  = "arn:aws:ec2:*:*:instance/*"
        Condition = { StringEquals = { "aws:ResourceTag/tocsin:region" = var.name } }
      },
      # A machine whose disk is encrypted starts with the key's leave.
      {
        Effect    = "Allow"
        Action    = "kms:CreateGrant"
        Resource  = var.key_arn
        Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
      },
      { Effect = "Allow", Action = ["ec2:DescribeInstances", "tag:GetResources"], Resource = "*" },
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:PutResourcePolicy"]
        Resource = "*"
      },
    ]
  })
}

# Rules of a network that FIS sets up and takes back: what it made itself alone, by its own tag.
resource "aws_iam_role_policy_attachment" "drill_network" {
  count = var.drill ? 1 : 0

  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSFaultInjectionSimulatorNetworkAccess"
  role       = aws_iam_role.drill[0].name
}

resource "aws_fis_experiment_template" "this" {
  for_each = local._faults

  description = "${each.key}: ${each.value.means}, in ${var.name}"
  role_arn    = aws_iam_role.drill[0].arn

  tags = { Name = "${var.name}-${each.key}" }

  action {
    name      = each.key
    action_id = each.value.action

    dynamic "parameter" {
      for_each = each.value.parameters

      content {
        key   = parameter.key
        value = parameter.value
      }
    }

    target {
      key   = each.value.kind
      value = "subjects"
    }
  }

  log_configuration {
    log_schema_version = 2

    cloudwatch_logs_configuration {
      log_group_arn = "${aws_cloudwatch_log_group.drill[0].arn}:*"
    }
  }

  dynamic "stop_condition" {
    for_each = local._stops

    content {
      source = "aws:cloudwatch:alarm"
      value  = stop_condition.value
    }
  }

  target {
    name           = "subjects"
    resource_arns  = each.value.arns
    resource_type  = each.value.type
    selection_mode = each.value.mode

    dynamic "resource_tag" {
      for_each = each.value.tags

      content {
        key   = resource_tag.key
        value = resource_tag.value
      }
    }
  }
}
