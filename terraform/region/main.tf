# One region, from its file. Its peers are known by their files and by what they wrote down when they were deployed, and
# by nothing else: nothing is looked up in another region, so this one is planned and applied while its peers are gone.

locals {
  _dir = "${path.module}/${var.regions_dir}"
  _files = {
    for file in fileset(local._dir, "*.yaml") : trimsuffix(file, ".yaml") => yamldecode(file("${local._dir}/${file}"))
  }
  _deployed = {
    for file in fileset("${local._dir}/deployed", "*.json") :
    trimsuffix(file, ".json") => jsondecode(file("${local._dir}/deployed/${file}"))
  }

  region   = module.topology.region
  peers    = module.topology.peers
  deployed = { for name in keys(local.peers) : name => local._deployed[name] if contains(keys(local._deployed), name) }
  own      = try(local._deployed[var.region], null)

  door_of = { intake = "intake", querier = "query" }
}

module "topology" {
  source = "../modules/topology"

  files   = local._files
  region  = var.region
  regions = local._files
}

module "network" {
  source = "../modules/network"

  aws_region = local.region.aws.region
  cidr       = local.region.aws.cidr
  name       = var.region
  zones      = local.region.aws.zones

  peers = {
    for name, peer in local.peers : name => {
      aws_region = peer.aws.region
      cidr       = peer.aws.cidr
      peering_id = try(local.deployed[name].peerings[var.region], null)
      vpc_id     = try(local.deployed[name].vpc_id, null)
    }
  }
}

resource "aws_security_group" "roles" {
  name        = "${var.region}-roles"
  description = "The tasks of all roles"
  vpc_id      = module.network.vpc_id

  tags = { Name = "${var.region}-roles" }
}

resource "aws_vpc_security_group_egress_rule" "https" {
  cidr_ipv4         = "0.0.0.0/0"
  description       = "AWS's own services, and webhooks"
  from_port         = 443
  ip_protocol       = "tcp"
  security_group_id = aws_security_group.roles.id
  to_port           = 443
}

module "log" {
  source = "../modules/log"

  account_id               = local.region.aws.account_id
  broker                   = local.region.log.broker
  client_security_group_id = aws_security_group.roles.id
  kafka_version            = local.region.log.kafka_version
  key_arn                  = aws_kms_key.this.arn
  min_insync_replicas      = local.region.log.min_insync_replicas
  name                     = var.region
  replication_factor       = local.region.log.replication_factor
  subnet_ids               = [for subnet in module.network.private_subnets : subnet.id]
  vpc_id                   = module.network.vpc_id

  peers = {
    for name, peer in local.peers : name => {
      arn               = try(local.deployed[name].log.arn, null)
      cidr              = peer.aws.cidr
      mirror_prefix     = try(local.own.mirror_prefixes[name], null)
      security_group_id = try(local.deployed[name].log.security_group_id, null)
      subnet_ids        = try(local.deployed[name].log.subnet_ids, null)
    }
  }
}

module "store" {
  source   = "../modules/store"
  for_each = local.region.stacks

  client_security_group_id = aws_security_group.roles.id
  contact_points           = each.value.contact_points
  key_arn                  = aws_kms_key.this.arn
  local_dc                 = each.value.local_dc
  name                     = "${var.region}-${each.key}"
  nodes                    = each.value.nodes
  subnets                  = module.network.private_subnets
  vpc_id                   = module.network.vpc_id
}

module "regionfile" {
  source = "../modules/regionfile"

  bootstrap      = module.log.bootstrap
  contact_points = { for name, store in module.store : name => store.contact_points }
  deployed       = local._deployed
  region         = local.region
}

module "edge" {
  source   = "../modules/edge"
  for_each = local.door_of

  admin_port              = module.regionfile.processes[each.key].admin_port
  domain                  = local.region.aws.domain
  door                    = each.value
  log_bucket              = aws_s3_bucket.access_logs.bucket
  name                    = var.region
  port                    = module.regionfile.processes[each.key].port
  requests_per_client_max = 30000
  role_security_group_id  = aws_security_group.roles.id
  subnet_ids              = module.network.public_subnet_ids
  vpc_id                  = module.network.vpc_id
  zone_id                 = local.region.aws.zone_id

  depends_on = [aws_s3_bucket_policy.access_logs]
}

module "service" {
  source = "../modules/service"

  aws_region        = local.region.aws.region
  collector         = merge(module.observe.collector, { image = local.region.aws.collector_image })
  config_dir        = module.regionfile.config_dir
  data_dir          = module.regionfile.data_dir
  doors             = { for role, edge in module.edge : role => edge.target }
  drill             = local.region.aws.drill
  image             = local.region.aws.image
  key_arn           = aws_kms_key.this.arn
  log               = { arn = module.log.arn, name = module.log.name }
  mirror_prefixes   = module.regionfile.mirrored
  name              = var.region
  peer_logs         = { for name in keys(module.regionfile.mirrored) : name => local.deployed[name].log.arn }
  processes         = module.regionfile.processes
  region_files      = module.regionfile.files
  regions_dir       = module.regionfile.regions_dir
  roles             = local.region.roles
  secrets_dir       = module.regionfile.secrets_dir
  security_group_id = aws_security_group.roles.id
  serving_stack     = local.region.serving_stack
  smtp_login        = try(local.region.delivery.smtp.username, null) != null
  stacks            = { for name, store in module.store : name => store.secrets }
  subnet_ids        = [for subnet in module.network.private_subnets : subnet.id]
  vpc_id            = module.network.vpc_id
}

module "backup" {
  source = "../modules/backup"

  account_id = local.region.aws.account_id
  key_arn    = aws_kms_key.this.arn
  name       = var.region

  peers = {
    for name, peer in local.deployed : name => { bucket_arn = peer.backup.bucket_arn, key_arn = peer.backup.key_arn }
  }
}

module "observe" {
  source = "../modules/observe"

  alerts          = yamldecode(file("${path.module}/${var.catalogue_file}")).alerts
  aws_region      = local.region.aws.region
  cluster         = module.service.cluster
  doors           = { for role, edge in module.edge : local.door_of[role] => edge.target }
  drill           = local.region.aws.drill
  key_arn         = aws_kms_key.this.arn
  log_name        = module.log.name
  name            = var.region
  peer_cidrs      = { for name, peer in local.peers : name => peer.aws.cidr }
  replicators     = module.log.replicators
  requests_topics = concat(["requests"], [for prefix in values(module.regionfile.mirrored) : "${prefix}requests"])
  runbooks_url    = local.region.aws.runbooks_url
  services        = module.service.services

  subnet_arns = {
    for zone, subnet in module.network.private_subnets :
    zone => "arn:aws:ec2:${local.region.aws.region}:${local.region.aws.account_id}:subnet/${subnet.id}"
  }

  instance_ids = merge([
    for stack, store in module.store : { for node, id in store.instance_ids : "${stack}-${node}" => id }
  ]...)
}
