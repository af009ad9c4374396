output "peers" {
  description = "The peers' files, by name."
  value       = { for name in try(var.regions[var.region].peers, []) : name => var.regions[name] if contains(keys(var.regions), name) }
}

output "problems" {
  description = "What is wrong with the files: each with file and field; empty in every plan that goes on."
  value       = local.problems

  precondition {
    condition     = length(local.problems) == 0
    error_message = "The region files cannot be deployed:\n${join("\n", local.problems)}"
  }
}

output "region" {
  description = "The region's own file, with the defaults in place."
  value       = try(var.regions[var.region], null)

  precondition {
    condition     = length(local.problems) == 0
    error_message = "The region ${var.region} is not deployed before its files are right: see `problems`."
  }
}
