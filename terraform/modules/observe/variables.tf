variable "alerts" {
  description = "The alerts of the catalogue, deploy/alerts/catalogue.yaml. What is left out has the defaults of the service's own reader."
  type = list(object({
    name          = string
    severity      = string
    summary       = string
    for_s         = optional(number, 0)
    outside       = optional(bool, false)
    service_level = optional(string, "")
    any_of = optional(list(object({
      metric     = string
      of         = string
      by         = optional(list(string), ["region"])
      where      = optional(map(list(string)), {})
      over_s     = optional(number, 300)
      share_of   = optional(string, "")
      above      = optional(number)
      below      = optional(number)
      or_missing = optional(bool, false)
    })), [])
  }))
}

variable "aws_region" {
  description = "Where it runs: CloudWatch's and X-Ray's region."
  type        = string
}

variable "cluster" {
  description = "The ECS cluster's name."
  type        = string
}

variable "doors" {
  description = "Door (`intake`, `query`) to what metrics call it: `load_balancer`, `target_group`."
  type        = map(object({ load_balancer = string, target_group = string, target_group_arn = string }))
}

variable "drill" {
  description = "Whether this is a drill environment: faults by AWS FIS are possible there and nowhere else."
  type        = bool
  default     = false
}

variable "instance_ids" {
  description = "The store's machines, by stack, zone and number."
  type        = map(string)
  default     = {}
}

variable "key_arn" {
  description = "The KMS key of data at rest."
  type        = string
}

variable "log_name" {
  description = "The log's cluster, as metrics have it."
  type        = string
}

variable "name" {
  description = "The region's name; begins the name of everything."
  type        = string
}

variable "peer_cidrs" {
  description = "Peer to its network's addresses."
  type        = map(string)
  default     = {}
}

variable "replicators" {
  description = "Peer to the replicator that reads it."
  type        = map(string)
  default     = {}
}

variable "requests_topics" {
  description = "This region's requests and the mirrored ones, by their names here."
  type        = list(string)
}

variable "runbooks_url" {
  description = "Where runbooks are read: an alarm links to `URL/RUNBOOK.md`."
  type        = string
}

variable "services" {
  description = "ECS service to its role and stack."
  type        = map(object({ role = string, stack = string }))
}

variable "subnet_arns" {
  description = "Zone to its private subnet."
  type        = map(string)
}
