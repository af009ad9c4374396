output "alarms" {
  description = "The alarms that people are told of."
  value       = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]
}

output "topic_arn" {
  description = "The topic of alarms: subscribe whoever is on call."
  value       = aws_sns_topic.alarms.arn
}
