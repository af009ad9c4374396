# Who each role is to AWS: what it may do with this region's log, and intake and querier with the peers'. All a role needs
# of the log is in one table. Topics, mirrored ones too, are made by the role that finds them missing.

locals {
  # Role to what it reads (of its own region, and mirrored), writes and claims.
  access = {
    intake = {
      reads = ["requests", "ledger"], writes = ["requests"], peers = ["requests"], groups = [], makes = true
    }
    creator = {
      reads  = ["requests", "ledger", "directory", "owners"]
      writes = ["requests", "ledger", "assignments", "owners"]
      peers  = [], groups = ["creator.*"], makes = true
    }
    querier = {
      reads = [], writes = ["requests"], peers = ["requests"], groups = [], makes = false
    }
    notifier = {
      reads  = ["assignments", "directory", "feedback", "ledger", "owners"]
      writes = ["feedback", "requests", "owners"]
      peers  = [], groups = ["notifier.*"], makes = true
    }
  }

  _mirrored = ["requests", "ledger", "directory", "feedback"]
  _topics   = replace(var.log.arn, ":cluster/", ":topic/")
  _groups   = replace(var.log.arn, ":cluster/", ":group/")

  _log_statements = {
    for role, access in local.access : role => concat(
      [
        {
          Effect   = "Allow"
          Action   = ["kafka-cluster:Connect", "kafka-cluster:DescribeCluster"]
          Resource = concat([var.log.arn], length(access.peers) > 0 ? values(var.peer_logs) : [])
        },
        {
          Effect   = "Allow"
          Action   = ["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration"]
          Resource = ["${local._topics}/*"]
        },
        {
          Effect   = "Allow"
          Action   = ["kafka-cluster:WriteData"]
          Resource = [for topic in access.writes : "${local._topics}/${topic}"]
        },
      ],
      length(access.reads) == 0 ? [] : [{
        Effect = "Allow"
        Action = ["kafka-cluster:ReadData"]
        Resource = concat(
          [for topic in access.reads : "${local._topics}/${topic}"],
          flatten([for prefix in values(var.mirror_prefixes) : [
            for topic in setintersection(access.reads, local._mirrored) : "${local._topics}/${prefix}${topic}"
          ]]),
        )
      }],
      !access.makes ? [] : [{
        Effect = "Allow"
        Action = ["kafka-cluster:CreateTopic"]
        Resource = [
          for topic in concat(
            local._mirrored, ["assignments", "owners"],
            flatten([for prefix in values(var.mirror_prefixes) : [for topic in local._mirrored : "${prefix}${topic}"]]),
          ) : "${local._topics}/${topic}"
        ]
      }],
      length(access.groups) == 0 ? [] : [{
        Effect   = "Allow"
        Action   = ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"]
        Resource = [for group in access.groups : "${local._groups}/${group}"]
      }],
      # `ack: all-regions`: the request is in every region's log before the client is answered.
      length(access.peers) == 0 || length(var.peer_logs) == 0 ? [] : [{
        Effect   = "Allow"
        Action   = ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
        Resource = flatten([for arn in values(var.peer_logs) : [for topic in access.peers : "${replace(arn, ":cluster/", ":topic/")}/${topic}"]])
      }],
    )
  }

  _for_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# The role of the process itself.
resource "aws_iam_role" "role" {
  for_each = local.services

  assume_role_policy = local._for_tasks
  name               = "${var.name}-${each.key}"
}

resource "aws_iam_role_policy" "log" {
  for_each = local.services

  name = "log"
  role = aws_iam_role.role[each.key].id

  policy = jsonencode({ Version = "2012-10-17", Statement = local._log_statements[each.value.role] })
}

# The collector beside it has the same role, as all containers of a task.
resource "aws_iam_role_policy" "collector" {
  for_each = local.services

  name = "collector"
  role = aws_iam_role.role[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "${var.collector.log_group_arn}:log-stream:*" },
      # X-Ray has no resources to name.
      { Effect = "Allow", Action = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], Resource = "*" },
    ]
  })
}

# The role by which ECS starts it: fetches image and secrets, writes logs. The process never has it.
resource "aws_iam_role" "start" {
  for_each = local.services

  assume_role_policy = local._for_tasks
  name               = "${var.name}-${each.key}-start"
}

resource "aws_iam_role_policy_attachment" "start" {
  for_each = local.services

  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
  role       = aws_iam_role.start[each.key].name
}

resource "aws_iam_role_policy" "secrets" {
  for_each = { for name, secrets in local.secrets : name => secrets if length(secrets) > 0 }

  name = "secrets"
  role = aws_iam_role.start[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = [for secret in values(each.value) : secret.arn] },
      { Effect = "Allow", Action = "kms:Decrypt", Resource = var.key_arn },
    ]
  })
}
