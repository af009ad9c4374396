# The region files as the service reads them: this region's, and those of the peers that it mirrors. The service's own
# schema (regions/region.schema.json) is what they must keep to; tests/infra loads them by the service's own code.
#
# A peer counts once the prefix that its mirror puts before its topics here is known, which MSK Replicator decides when
# it is made. Until then this region runs as if the peer were not there, and nothing is told of it to the service.

locals {
  _own = try(var.deployed[var.region.name], {})
  _prefixes = {
    for name, prefix in try(local._own.mirror_prefixes, {}) : name => prefix
    if contains(var.region.peers, name) && can(var.deployed[name].region_file)
  }

  config_dir  = "/etc/tocsin"
  data_dir    = "/var/lib/tocsin"
  regions_dir = "${local.config_dir}/regions"
  secrets_dir = "${local.config_dir}/secrets"

  # Each role has ports of its own, so that a region file holds on one machine too.
  processes = {
    intake   = { host = "0.0.0.0", port = 8080, admin_port = 9080 }
    querier  = { host = "0.0.0.0", port = 8081, admin_port = 9081 }
    creator  = { host = "0.0.0.0", admin_port = 9082 }
    notifier = { host = "0.0.0.0", admin_port = 9083 }
  }

  # Without a mail server nobody is reached by mail.
  _smtp = {
    for smtp in [var.region.delivery.smtp] : "smtp" => merge(
      { server = smtp.server, sender = smtp.sender, tls = smtp.tls },
      {
        for username in [smtp.username] : "login" => {
          by = "password", username = username, password_file = "${local.secrets_dir}/smtp-password"
        } if username != null
      },
    ) if smtp != null
  }

  own = merge(
    {
      name       = var.region.name
      founding   = var.region.founding
      partitions = var.region.partitions
      peers      = [for name, prefix in local._prefixes : { name = name, mirror_prefix = prefix }]
      log = {
        engine              = "kafka"
        bootstrap           = var.bootstrap
        replication_factor  = var.region.log.replication_factor
        min_insync_replicas = var.region.log.min_insync_replicas
        retention_s         = var.region.log.retention_s
        tls                 = {}
        login               = { by = "aws", aws_region = var.region.aws.region }
      }
      stacks = {
        for name, stack in var.region.stacks : name => {
          engine             = "cassandra"
          contact_points     = var.contact_points[name]
          local_dc           = stack.local_dc
          keyspace           = stack.keyspace
          replication_factor = stack.replication_factor
          tls                = { ca_file = "${local.secrets_dir}/${name}-ca.pem" }
          login = {
            by            = "password"
            username      = stack.username
            password_file = "${local.secrets_dir}/${name}-password"
          }
        }
      }
      serving_stack = var.region.serving_stack
      directory     = "${local.secrets_dir}/directory.yaml"
      delivery      = merge({ key_file = "${local.secrets_dir}/paging.key" }, local._smtp)
      limits        = var.region.limits
      paging        = var.region.paging
    },
    local.processes,
  )

  # In a folder all regions list all others. What a peer calls its mirrors is read by that peer alone, so a prefix that
  # it does not know yet has a name that no mirror gives.
  _peers = {
    for name in keys(local._prefixes) : name => merge(var.deployed[name].region_file, {
      peers = [
        for other in setsubtract(concat([var.region.name], keys(local._prefixes)), [name]) : {
          name          = other
          mirror_prefix = try(var.deployed[name].mirror_prefixes[other], "not-yet-mirrored.${other}.")
        }
      ]
    })
  }

  files = merge({ (var.region.name) = jsonencode(local.own) }, { for name, file in local._peers : name => jsonencode(file) })
}
