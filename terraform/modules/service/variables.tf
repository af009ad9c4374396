variable "aws_region" {
  description = "Where it runs, for the tasks' logs."
  type        = string
}

variable "collector" {
  description = "What brings a task's metrics and traces to AWS: its `image`, by digest, its `config`, and the `log_group_arn` that it writes to."
  type        = object({ config = string, image = string, log_group_arn = string })
}

variable "config_dir" {
  description = "Where region files and secrets lie in a container."
  type        = string
}

variable "data_dir" {
  description = "Where a role writes."
  type        = string
}

variable "doors" {
  description = "Role to the target group by which clients reach it: `target_group_arn`, and the `load_balancer` and `target_group` as metrics have them."
  type        = map(object({ load_balancer = string, target_group = string, target_group_arn = string }))
}

variable "drill" {
  description = "Whether faults may be injected into tasks."
  type        = bool
  default     = false
}

variable "image" {
  description = "The container image, by digest."
  type        = string
}

variable "key_arn" {
  description = "The KMS key of data at rest."
  type        = string
}

variable "log" {
  description = "This region's log: `arn` of the cluster, and its `name` as metrics have it."
  type        = object({ arn = string, name = string })
}

variable "mirror_prefixes" {
  description = "Peer to what stands before the names of its topics here, of the peers that the service is told of."
  type        = map(string)
  default     = {}
}

variable "name" {
  description = "The region's name; begins the name of everything."
  type        = string
}

variable "peer_logs" {
  description = "Peer to the ARN of its log, of the peers that the service is told of."
  type        = map(string)
  default     = {}
}

variable "processes" {
  description = "Role to where it listens: `port` of those with clients, `admin_port`."
  type        = any
}

variable "region_files" {
  description = "Region to the text of its file."
  type        = map(string)
}

variable "regions_dir" {
  description = "The folder of region files in a container."
  type        = string
}

variable "roles" {
  description = "Role to its size: `cpu` (1024 a core), `memory_mib`, `count` at least and `count_max` at most."
  type        = map(object({ cpu = number, memory_mib = number, count = number, count_max = number }))
}

variable "secrets_dir" {
  description = "The folder of secrets in a container."
  type        = string
}

variable "security_group_id" {
  description = "The security group of the tasks."
  type        = string
}

variable "serving_stack" {
  description = "The stack that serves."
  type        = string
}

variable "smtp_login" {
  description = "Whether the mail server wants a password."
  type        = bool
  default     = false
}

variable "stacks" {
  description = "Stack to the secrets of its store: `ca`, `password`, as ARNs."
  type        = map(map(string))
}

variable "subnet_ids" {
  description = "The private subnets."
  type        = list(string)
}

variable "vpc_id" {
  description = "The network."
  type        = string
}
