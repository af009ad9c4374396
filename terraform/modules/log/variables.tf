variable "account_id" {
  description = "The AWS account, for whom the cluster lets replicators in."
  type        = string
}

variable "broker" {
  description = "Each broker: `instance_type`, `storage_gib` to begin with (it grows by itself to four times that), and how many there are in a zone."
  type = object({
    instance_type = string
    per_zone      = number
    storage_gib   = number
  })
}

variable "client_security_group_id" {
  description = "The security group of the tasks that talk to the brokers."
  type        = string
}

variable "kafka_version" {
  description = "The version of Apache Kafka, as Amazon MSK names it."
  type        = string
}

variable "key_arn" {
  description = "The KMS key of data at rest."
  type        = string
}

variable "min_insync_replicas" {
  description = "How many brokers must have a record before it is acknowledged."
  type        = number
}

variable "name" {
  description = "The region's name; begins the name of everything."
  type        = string
}

variable "peers" {
  description = "Peer to what is known of its log: `cidr` from its file; `arn`, `subnet_ids` and `security_group_id` once it is deployed, null before; `mirror_prefix`, once a replicator was made and its prefix written back."
  type = map(object({
    arn               = optional(string)
    cidr              = string
    mirror_prefix     = optional(string)
    security_group_id = optional(string)
    subnet_ids        = optional(list(string))
  }))
  default = {}
}

variable "replication_factor" {
  description = "How many brokers keep each record."
  type        = number
}

variable "subnet_ids" {
  description = "The private subnets, one a zone."
  type        = list(string)
}

variable "vpc_id" {
  description = "The network."
  type        = string
}
