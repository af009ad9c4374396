variable "account_id" {
  description = "The AWS account; makes the bucket's name one of its own."
  type        = string
}

variable "key_arn" {
  description = "The KMS key of data at rest."
  type        = string
}

variable "name" {
  description = "The region's name; begins the name of everything."
  type        = string
}

variable "peers" {
  description = "Peer to its bucket: `bucket_arn` and `key_arn`, of those that are deployed. Everything is copied to each."
  type        = map(object({ bucket_arn = string, key_arn = string }))
  default     = {}
}
