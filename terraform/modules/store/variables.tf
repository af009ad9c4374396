variable "client_security_group_id" {
  description = "The security group of the tasks that talk to the nodes."
  type        = string
}

variable "contact_points" {
  description = "Nodes of a cluster that is there, `host:port` each; empty when nodes are made here."
  type        = list(string)
  default     = []
}

variable "key_arn" {
  description = "The KMS key of data at rest."
  type        = string
}

variable "local_dc" {
  description = "The data center's name, as the nodes have it."
  type        = string
}

variable "name" {
  description = "Region and stack; begins the name of everything."
  type        = string
}

variable "nodes" {
  description = "Nodes to be made: `ami` (Cassandra 5.0 as a service named cassandra, and the AWS CLI), `instance_type`, how many a zone, and the disk of each. Null for a cluster that is there."
  type = object({
    ami           = string
    instance_type = string
    per_zone      = number
    storage_gib   = number
  })
  default = null
}

variable "subnets" {
  description = "Zone to its private subnet: `id`, `cidr`."
  type        = map(object({ id = string, cidr = string }))
}

variable "vpc_id" {
  description = "The network."
  type        = string
}
