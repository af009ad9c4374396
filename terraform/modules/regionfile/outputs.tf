output "config_dir" {
  description = "Where region files and secrets lie in a container; read-only for the role."
  value       = local.config_dir
}

output "data_dir" {
  description = "Where a role writes."
  value       = local.data_dir
}

output "files" {
  description = "Region to the text of its file (JSON, which is YAML), as the service of this region reads them."
  value       = local.files
}

output "mirrored" {
  description = "Peer to the prefix of its mirrored topics, of the peers that the service is told of."
  value       = local._prefixes
}

output "own" {
  description = "This region's file as data, for its peers."
  value       = local.own
}

output "processes" {
  description = "Role to where it listens."
  value       = local.processes
}

output "regions_dir" {
  description = "The folder of region files in a container."
  value       = local.regions_dir
}

output "secrets_dir" {
  description = "The folder of secrets in a container."
  value       = local.secrets_dir
}
