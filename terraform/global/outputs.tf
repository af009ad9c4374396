output "names" {
  description = "Public name to the regions that stand behind it."
  value = {
    for door in distinct([for record in local.records : record.door]) :
    "${door}.${var.domain}" => [for record in local.records : record.region if record.door == door]
  }
}
