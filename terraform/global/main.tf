# The public names: `intake.DOMAIN` and `query.DOMAIN`, each a record a region, of which clients get the nearest that has a
# task that is ready. It is made from files, and asks no region anything. When no region is ready, or nothing is heard of
# any, all are answered: a wrong answer to "who is healthy" must not be that nobody takes events.

locals {
  _dir = "${path.module}/${var.regions_dir}/deployed"
  _deployed = {
    for file in fileset(local._dir, "*.json") : trimsuffix(file, ".json") => jsondecode(file("${local._dir}/${file}"))
  }
  deployed_names = keys(local._deployed)

  records = merge([
    for name, region in local._deployed : {
      for door, place in region.doors : "${door}/${name}" => {
        alarm_name = place.alarm_name
        aws_region = region.region_file.log.login.aws_region
        dns_name   = place.dns_name
        door       = door
        region     = name
        zone_id    = place.zone_id
      }
    } if !contains(var.left_out, name)
  ]...)
}

resource "aws_route53_health_check" "ready" {
  for_each = local.records

  cloudwatch_alarm_name           = each.value.alarm_name
  cloudwatch_alarm_region         = each.value.aws_region
  insufficient_data_health_status = "Healthy"
  type                            = "CLOUDWATCH_METRIC"

  tags = { Name = "tocsin ${each.key}" }
}

resource "aws_route53_record" "door" {
  for_each = local.records

  health_check_id = aws_route53_health_check.ready[each.key].id
  name            = "${each.value.door}.${var.domain}"
  set_identifier  = each.value.region
  type            = "A"
  zone_id         = var.zone_id

  alias {
    evaluate_target_health = true
    name                   = each.value.dns_name
    zone_id                = each.value.zone_id
  }

  latency_routing_policy {
    region = each.value.aws_region
  }
}
