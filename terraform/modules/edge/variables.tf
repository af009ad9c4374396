variable "admin_port" {
  description = "Where the role tells whether it is ready."
  type        = number
}

variable "domain" {
  description = "The domain of the public names: the door is `DOOR.DOMAIN` in all regions, and `DOOR.REGION.DOMAIN` in this one."
  type        = string
}

variable "door" {
  description = "What clients come for: `intake` or `query`. Begins the public name."
  type        = string
}

variable "log_bucket" {
  description = "The bucket that takes access logs."
  type        = string
}

variable "name" {
  description = "The region's name; begins the name of everything."
  type        = string
}

variable "port" {
  description = "Where the role listens."
  type        = number
}

variable "requests_per_client_max" {
  description = "How many requests one address may send in five minutes; what is above is answered 429."
  type        = number
}

variable "role_security_group_id" {
  description = "The security group of the tasks."
  type        = string
}

variable "subnet_ids" {
  description = "The public subnets."
  type        = list(string)
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "zone_id" {
  description = "The Route 53 zone of the domain, in which the certificate is proven."
  type        = string
}
