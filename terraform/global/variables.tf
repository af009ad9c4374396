variable "domain" {
  description = "The domain of the public names."
  type        = string
}

variable "left_out" {
  description = "Regions that clients are not sent to, though they are deployed: before a removal, or while one is repaired."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(local.deployed_names, var.left_out)) > 0 || length(local.deployed_names) == 0
    error_message = "left_out names every region that is deployed: clients would be sent nowhere."
  }

  validation {
    condition     = length(setsubtract(var.left_out, local.deployed_names)) == 0
    error_message = "left_out names ${join(", ", setsubtract(var.left_out, local.deployed_names))}, which is not deployed; there are ${join(", ", local.deployed_names)}."
  }
}

variable "regions_dir" {
  description = "The folder of region files, from this one; its folder `deployed` is read."
  type        = string
  default     = "../../regions/aws"
}

variable "zone_id" {
  description = "The Route 53 zone of the domain."
  type        = string
}
