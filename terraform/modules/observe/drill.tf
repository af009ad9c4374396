# Faults by AWS FIS, in drill environments only. Each stops by itself when events are refused here: a drill that hurts
# clients is over.

locals {
  _faults = !var.drill ? {} : {
    stop-tasks = {
      action   = "aws:ecs:stop-task"
      means    = "Ends a third of a role's tasks at once"
      resource = "aws:ecs:task"
      target   = "Tasks"
      mode     = "PERCENT(33)"
      tag      = { key = "tocsin:region", value = var.name }
    }
  }
  _stops = [for key, alarm in aws_cloudwatch_metric_alarm.outside : alarm.arn if startswith(key, "EventsRefused/")]
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
      { Effect = "Allow", Action = "tag:GetResources", Resource = "*" },
    ]
  })
}

resource "aws_fis_experiment_template" "this" {
  for_each = local._faults

  description = "${each.value.means} in ${var.name}"
  role_arn    = aws_iam_role.drill[0].arn

  action {
    name      = each.key
    action_id = each.value.action

    target {
      key   = each.value.target
      value = "subjects"
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
    resource_type  = each.value.resource
    selection_mode = each.value.mode

    resource_tag {
      key   = each.value.tag.key
      value = each.value.tag.value
    }
  }
}
