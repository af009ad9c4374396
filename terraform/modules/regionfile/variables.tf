variable "bootstrap" {
  description = "The brokers of this region's log, `host:port` each."
  type        = list(string)
}

variable "contact_points" {
  description = "Stack to the nodes of its store, `host:port` each."
  type        = map(list(string))
}

variable "deployed" {
  description = "What is known of regions that were deployed (`regions/aws/deployed/NAME.json`), by name. A peer that is not there yet is not there yet."
  type        = any
}

variable "region" {
  description = "The region's file, as `topology` returns it."
  type        = any
}
