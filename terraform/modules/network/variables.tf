variable "aws_region" {
  description = "Where the network is, for the names of AWS's own services."
  type        = string
}

variable "cidr" {
  description = "The addresses of the network; overlaps no peer's."
  type        = string
}

variable "name" {
  description = "The region's name; begins the name of everything."
  type        = string
}

variable "peers" {
  description = "Peer to its network: `cidr` and `aws_region` from its file; `vpc_id` and `peering_id` (the connection that it requested of us) once it is deployed, null before."
  type = map(object({
    aws_region = string
    cidr       = string
    peering_id = optional(string)
    vpc_id     = optional(string)
  }))
  default = {}
}

variable "zones" {
  description = "The availability zones, one private and one public subnet each."
  type        = list(string)
}
