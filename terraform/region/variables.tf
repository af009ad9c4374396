variable "catalogue_file" {
  description = "The alert catalogue, from this folder."
  type        = string
  default     = "../../deploy/alerts/catalogue.yaml"
}

variable "region" {
  description = "The region to deploy: the name of its file, without `.yaml`."
  type        = string
}

variable "regions_dir" {
  description = "The folder of region files, from this one. What is known of deployed regions is in its folder `deployed`."
  type        = string
  default     = "../../regions/aws"
}
