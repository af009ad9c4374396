output "alarm_name" {
  description = "The alarm that says that no task is ready."
  value       = aws_cloudwatch_metric_alarm.ready.alarm_name
}

output "dns_name" {
  description = "The load balancer's own name, which the public names stand for."
  value       = aws_lb.this.dns_name
}

output "target" {
  description = "For the service behind the door; once it listens."
  value = {
    load_balancer    = aws_lb.this.arn_suffix
    target_group     = aws_lb_target_group.this.arn_suffix
    target_group_arn = aws_lb_target_group.this.arn
  }
  depends_on = [aws_lb_listener.https]
}

output "url" {
  description = "The door in this region."
  value       = "https://${local.names[1]}"
}

output "zone_id" {
  description = "The zone of the load balancer's own name."
  value       = aws_lb.this.zone_id
}
