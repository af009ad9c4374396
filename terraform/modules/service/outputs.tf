output "cluster" {
  description = "The ECS cluster's name, as metrics have it."
  value       = aws_ecs_cluster.this.name
}

output "environment" {
  description = "Service to the variables that its role is given: what settings.py must accept."
  value       = local.environment
}

output "secrets" {
  description = "Where people put `directory`, `paging-key`, `tokens` and, with a login, `smtp-password`: ARNs of secrets."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "services" {
  description = "Service to its role and stack."
  value       = local.services
}
