output "alarms" {
  description = "The alarms that people are told of."
  value       = [for alarm in concat(values(aws_cloudwatch_metric_alarm.inside), values(aws_cloudwatch_metric_alarm.outside)) : alarm.alarm_name]
}

output "collector" {
  description = "What a task's collector is to be given: its `config`, and the `log_group_arn` that it writes to."
  value = {
    config        = jsonencode(local._collector)
    log_group_arn = aws_cloudwatch_log_group.metrics.arn
  }
}

output "topics" {
  description = "Severity (`page`, `ticket`) to the topic of its alarms: subscribe whoever is on call to the first."
  value       = { for severity, topic in aws_sns_topic.this : severity => topic.arn }
}

output "unwatched" {
  description = "The alerts of the catalogue that are no alarms here."
  value       = local.unwatched
}
