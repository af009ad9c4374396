variable "files" {
  description = "The region files as they were read, by file name without `.yaml`; only their field names are looked at, so that a field that nobody knows is refused."
  type        = any
}

variable "region" {
  description = "The region that is deployed: the name of its file."
  type        = string
}

variable "regions" {
  description = "The same files, with the type of each field; a field that is missing is told by name."
  type = map(object({
    name       = string
    founding   = optional(bool, true)
    partitions = number
    peers      = optional(list(string), [])
    log = object({
      retention_s         = number
      replication_factor  = optional(number, 3)
      min_insync_replicas = optional(number, 2)
      kafka_version       = optional(string, "3.8.x")
      broker = object({
        instance_type = string
        per_zone      = optional(number, 1)
        storage_gib   = number
      })
    })
    stacks = map(object({
      engine             = string
      keyspace           = string
      local_dc           = string
      replication_factor = optional(number, 3)
      username           = optional(string, "tocsin")
      contact_points     = optional(list(string), [])
      nodes = optional(object({
        ami           = string
        instance_type = string
        per_zone      = optional(number, 1)
        storage_gib   = number
      }))
    }))
    serving_stack = string
    roles = object({
      intake   = object({ cpu = number, memory_mib = number, count = number, count_max = number })
      creator  = object({ cpu = number, memory_mib = number, count = number, count_max = number })
      querier  = object({ cpu = number, memory_mib = number, count = number, count_max = number })
      notifier = object({ cpu = number, memory_mib = number, count = number, count_max = number })
    })
    delivery = optional(object({
      smtp = optional(object({
        server   = string
        sender   = string
        tls      = optional(string, "starttls")
        username = optional(string)
      }))
    }), {})
    limits = optional(map(number), {})
    paging = optional(map(number), {})
    aws = object({
      account_id      = string
      region          = string
      cidr            = string
      zones           = list(string)
      domain          = string
      zone_id         = string
      image           = string
      collector_image = string
      runbooks_url    = string
      drill           = optional(bool, false)
    })
  }))
}
