output "arn" {
  description = "The cluster."
  value       = aws_msk_cluster.this.arn
}

output "bootstrap" {
  description = "Brokers to begin with, `host:port` each, by AWS identity and over TLS."
  value       = sort(split(",", aws_msk_cluster.this.bootstrap_brokers_sasl_iam))
}

output "mirror_prefixes" {
  description = "Peer to what stands before the names of its topics here; to be written back."
  value       = local.prefixes
}

output "name" {
  description = "The cluster's name, as metrics have it."
  value       = aws_msk_cluster.this.cluster_name
}

output "replicators" {
  description = "Peer to the name of the replicator that reads it, as metrics have it."
  value       = { for name, replicator in aws_msk_replicator.from : name => replicator.replicator_name }
}

output "security_group_id" {
  description = "The security group of replicators at this log: a peer's replicator is given it for this side."
  value       = aws_security_group.replicators.id
}
