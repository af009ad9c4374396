output "deployed" {
  description = "What peers, the global root and the command line know of this region: write it to `regions/aws/deployed/REGION.json` after each apply, and commit it. It holds no secret."
  value = {
    backup = { bucket_arn = module.backup.arn, key_arn = aws_kms_key.this.arn }
    doors = {
      for role, edge in module.edge : local.door_of[role] => {
        alarm_name = edge.alarm_name
        dns_name   = edge.dns_name
        url        = edge.url
        zone_id    = edge.zone_id
      }
    }
    log = {
      arn               = module.log.arn
      security_group_id = module.log.security_group_id
      subnet_ids        = [for subnet in module.network.private_subnets : subnet.id]
    }
    mirror_prefixes = module.log.mirror_prefixes
    name            = var.region
    peerings        = module.network.peerings
    region_file     = module.regionfile.own
    vpc_id          = module.network.vpc_id
  }
}

output "environment" {
  description = "Service to the variables that its role is given."
  value       = module.service.environment
}

output "region_files" {
  description = "The region files that the service reads here, by name: for the command line, outside."
  value       = module.regionfile.files
}

output "secrets" {
  description = "Where people put what Terraform must not know: name to ARN."
  value = merge(
    module.service.secrets,
    merge([for stack, store in module.store : { for name, arn in store.secrets : "${stack}-${name}" => arn }]...),
  )
}

output "topics" {
  description = "Severity (`page`, `ticket`) to the topic of its alarms: subscribe whoever is on call to the first, the team to the second."
  value       = module.observe.topics
}
