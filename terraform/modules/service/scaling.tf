# How many tasks of a role run. Creators follow what they are behind in, queriers and intake their load. The notifier's
# number is a setting: its users are in memory, and moving them is not free.

locals {
  _scaled  = { for name, service in local.services : name => service if service.role != "notifier" }
  _by_load = { for name, service in local.services : name => service if contains(keys(local.doors), name) }
  _by_lag  = { for name, service in local.services : name => service if service.role == "creator" }

  requests_topics = concat(["requests"], [for prefix in values(var.mirror_prefixes) : "${prefix}requests"])

  lag_s_max = 30
  lag_s_low = 5
}

resource "aws_appautoscaling_target" "this" {
  for_each = local._scaled

  max_capacity       = var.roles[each.value.role].count_max
  min_capacity       = var.roles[each.value.role].count
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this[each.key].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  service_namespace  = "ecs"
}

resource "aws_appautoscaling_policy" "load" {
  for_each = local._by_load

  name               = "${var.name}-${each.key}-load"
  policy_type        = "TargetTrackingScaling"
  resource_id        = aws_appautoscaling_target.this[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.key].scalable_dimension
  service_namespace  = aws_appautoscaling_target.this[each.key].service_namespace

  target_tracking_scaling_policy_configuration {
    scale_in_cooldown  = 300
    scale_out_cooldown = 60
    target_value       = 50

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

# Half as many again each minute while the oldest record that is not yet stored is too old; one fewer when it is young.
# Watermarks are committed to Kafka for just such tools, so MSK itself knows the lag.
resource "aws_appautoscaling_policy" "lag" {
  for_each = merge([
    for name in keys(local._by_lag) : {
      "${name}/out" = { service = name, percent = 50, number = null }
      "${name}/in"  = { service = name, percent = null, number = -1 }
    }
  ]...)

  name               = "${var.name}-${replace(each.key, "/", "-")}"
  policy_type        = "StepScaling"
  resource_id        = aws_appautoscaling_target.this[each.value.service].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.value.service].scalable_dimension
  service_namespace  = aws_appautoscaling_target.this[each.value.service].service_namespace

  step_scaling_policy_configuration {
    adjustment_type          = each.value.percent == null ? "ChangeInCapacity" : "PercentChangeInCapacity"
    cooldown                 = each.value.percent == null ? 300 : 60
    metric_aggregation_type  = "Maximum"
    min_adjustment_magnitude = each.value.percent == null ? null : 1

    step_adjustment {
      metric_interval_lower_bound = each.value.percent == null ? null : "0"
      metric_interval_upper_bound = each.value.percent == null ? "0" : null
      scaling_adjustment          = coalesce(each.value.percent, each.value.number)
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "lag" {
  for_each = merge([
    for name, service in local._by_lag : {
      "${name}/out" = { stack = service.stack, is_high = true, periods = 2 }
      "${name}/in"  = { stack = service.stack, is_high = false, periods = 15 }
    }
  ]...)

  alarm_actions       = [aws_appautoscaling_policy.lag[each.key].arn]
  alarm_description   = "Scales the creators of ${var.name}, stack ${each.value.stack}; nobody is told."
  alarm_name          = "${var.name}-${replace(each.key, "/", "-")}"
  comparison_operator = each.value.is_high ? "GreaterThanThreshold" : "LessThanThreshold"
  evaluation_periods  = each.value.periods
  threshold           = each.value.is_high ? local.lag_s_max : local.lag_s_low
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "lag"
    expression  = "MAX(METRICS())"
    label       = "age of the oldest record that is not yet stored, in seconds"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local.requests_topics

    content {
      id = "topic${metric_query.key}"

      metric {
        dimensions = {
          "Cluster Name"   = var.log.name
          "Consumer Group" = "creator.${each.value.stack}"
          "Topic"          = metric_query.value
        }
        metric_name = "EstimatedMaxTimeLag"
        namespace   = "AWS/Kafka"
        period      = 60
        stat        = "Maximum"
      }
    }
  }
}
