output "contact_points" {
  description = "Nodes to begin with, `host:port` each."
  value       = local.contact_points
}

output "instance_ids" {
  description = "The machines that were made, by zone and number."
  value       = { for name, instance in aws_instance.node : name => instance.id }
}

output "secrets" {
  description = "What the service is given: `ca` and `password`, as ARNs of secrets."
  value       = { for name in ["ca", "password"] : name => aws_secretsmanager_secret.this[name].arn }
}
