# What the region files say, and whether they fit together. No provider, so it is planned in a blink, and everything
# that can be known from the files is refused here, before anything is looked at in the cloud. All faults are told at
# once, each with file and field, as `tocsin config check` does for the files that the service reads.

locals {
  _known = {
    "" = [
      "name", "founding", "partitions", "peers", "log", "stacks", "serving_stack", "roles", "delivery", "limits",
      "paging", "aws",
    ]
    log    = ["retention_s", "replication_factor", "min_insync_replicas", "kafka_version", "broker"]
    broker = ["instance_type", "per_zone", "storage_gib"]
    stack = [
      "engine", "keyspace", "local_dc", "replication_factor", "username", "contact_points", "nodes",
    ]
    delivery = ["smtp"]
    smtp     = ["server", "sender", "tls", "username"]
    nodes    = ["ami", "instance_type", "per_zone", "storage_gib"]
    roles    = ["intake", "creator", "querier", "notifier"]
    role     = ["cpu", "memory_mib", "count", "count_max"]
    aws = [
      "account_id", "region", "cidr", "zones", "domain", "zone_id", "image", "collector_image",
      "runbooks_url", "drill",
    ]
  }

  # Section (path) to what it has and what it may have.
  _sections = {
    for name, file in var.files : name => merge(
      {
        ""               = { has = keys(file), may = local._known[""] }
        "log."           = { has = keys(try(file.log, {})), may = local._known.log }
        "log.broker."    = { has = keys(try(file.log.broker, {})), may = local._known.broker }
        "delivery."      = { has = keys(try(file.delivery, {})), may = local._known.delivery }
        "delivery.smtp." = { has = keys(try(file.delivery.smtp, {})), may = local._known.smtp }
        "roles."         = { has = keys(try(file.roles, {})), may = local._known.roles }
        "aws."           = { has = keys(try(file.aws, {})), may = local._known.aws }
      },
      { for role, section in try(file.roles, {}) : "roles.${role}." => { has = keys(section), may = local._known.role } },
      { for stack, section in try(file.stacks, {}) : "stacks.${stack}." => { has = keys(section), may = local._known.stack } },
      {
        for stack, section in try(file.stacks, {}) : "stacks.${stack}.nodes." => {
          has = try(keys(section.nodes), []), may = local._known.nodes
        }
      },
    )
  }
  _unknown_fields = flatten([
    for name, sections in local._sections : [
      for path, section in sections : [
        for field in setsubtract(section.has, section.may) : "${name}.yaml: ${path}${field}: no such field"
      ]
    ]
  ])

  _region_missing = contains(keys(var.regions), var.region) ? [] : [
    "region: no file ${var.region}.yaml; there are ${join(", ", keys(var.regions))}"
  ]

  _names = [
    for file, region in var.regions : "${file}.yaml: name: is ${region.name}, and should be that of the file"
    if region.name != file
  ]

  _peers = flatten([
    for file, region in var.regions : concat(
      [for peer in region.peers : "${file}.yaml: peers: no region ${peer}" if !contains(keys(var.regions), peer)],
      [for peer in region.peers : "${file}.yaml: peers: lists the region itself" if peer == file],
      [
        for other in keys(var.regions) : contains(var.regions[other].peers, file)
        ? "${file}.yaml: peers: lacks ${other}, whose file lists ${file}: a mirror one way only"
        : "${file}.yaml: peers: lacks ${other}: nothing is passed on from a third region, so each mirrors every other"
        if other != file && !contains(region.peers, other)
      ],
    )
  ])

  _first = try(keys(var.regions)[0], "")
  _partitions = concat(
    [
      for file, region in var.regions :
      "${file}.yaml: partitions: is ${region.partitions}, but ${var.regions[local._first].partitions} in ${local._first}.yaml: a key must have the same partition number in every region"
      if region.partitions != var.regions[local._first].partitions
    ],
    [
      for file, region in var.regions : "${file}.yaml: partitions: is ${region.partitions}, and should be 1 to 10000"
      if region.partitions < 1 || region.partitions > 10000 || floor(region.partitions) != region.partitions
    ],
  )

  # A CIDR as the numbers of its first and last address.
  _is_cidr = { for file, region in var.regions : file => can(cidrhost(region.aws.cidr, 0)) }
  _octets = {
    for file, region in var.regions : file => [for octet in split(".", cidrhost(region.aws.cidr, 0)) : tonumber(octet)]
    if local._is_cidr[file]
  }
  _ranges = {
    for file, octets in local._octets : file => {
      first = octets[0] * 16777216 + octets[1] * 65536 + octets[2] * 256 + octets[3]
      size  = pow(2, 32 - tonumber(split("/", var.regions[file].aws.cidr)[1]))
    }
  }
  _cidrs = concat(
    [
      for file, region in var.regions :
      "${file}.yaml: aws.cidr: ${region.aws.cidr} is no block of addresses, as 10.10.0.0/16 is"
      if !local._is_cidr[file]
    ],
    [
      for file, range in local._ranges : "${file}.yaml: aws.cidr: ${var.regions[file].aws.cidr} has more than 20 bits: too small for subnets in three zones"
      if range.size < 4096
    ],
    flatten([
      for one, range in local._ranges : [
        for other, its in local._ranges :
        "${one}.yaml: aws.cidr: ${var.regions[one].aws.cidr} overlaps ${var.regions[other].aws.cidr} of ${other}.yaml: no route could tell them apart"
        if one != other && sort([one, other])[0] == one && range.first < its.first + its.size && its.first < range.first + range.size
      ]
    ]),
  )

  _brokers = flatten([
    for file, region in var.regions : concat(
      region.log.replication_factor <= length(region.aws.zones) * region.log.broker.per_zone ? [] : [
        "${file}.yaml: log.replication_factor: is ${region.log.replication_factor}, with ${length(region.aws.zones) * region.log.broker.per_zone} brokers"
      ],
      region.log.min_insync_replicas <= region.log.replication_factor ? [] : [
        "${file}.yaml: log.min_insync_replicas: is ${region.log.min_insync_replicas}, above log.replication_factor (${region.log.replication_factor}): nothing would ever be acknowledged"
      ],
      length(region.aws.zones) >= 2 ? [] : ["${file}.yaml: aws.zones: names ${length(region.aws.zones)}, and one may fail: name two or three"],
    )
  ])

  _engines = {
    keyspaces = "Amazon Keyspaces takes write times of two days back to five minutes ahead, and ours say which of two rows counts (docs/adr/0019, 0025): use cassandra"
    postgres  = "comes with the stacks (docs/adr/0025): use cassandra"
  }
  _stores = flatten([
    for file, region in var.regions : concat(
      contains(keys(region.stacks), region.serving_stack) ? [] : [
        "${file}.yaml: serving_stack: is ${region.serving_stack}, which stacks does not list"
      ],
      [
        for name, stack in region.stacks :
        "${file}.yaml: stacks.${name}.engine: ${stack.engine}: ${lookup(local._engines, stack.engine, "there is cassandra")}"
        if stack.engine != "cassandra"
      ],
      [
        for name, stack in region.stacks :
        "${file}.yaml: stacks.${name}: has no store: give contact_points of a cluster that is there, or nodes for one to be made"
        if length(stack.contact_points) == 0 && stack.nodes == null
      ],
      [
        for name, stack in region.stacks :
        "${file}.yaml: stacks.${name}: has two stores: contact_points of a cluster that is there, and nodes for one to be made; keep one"
        if length(stack.contact_points) > 0 && stack.nodes != null
      ],
      [
        for name, stack in region.stacks :
        "${file}.yaml: stacks.${name}.replication_factor: is ${stack.replication_factor}, with ${length(region.aws.zones) * stack.nodes.per_zone} nodes"
        if stack.nodes != null && try(stack.replication_factor > length(region.aws.zones) * stack.nodes.per_zone, false)
      ],
    )
  ])

  _roles = flatten([
    for file, region in var.regions : concat(
      [
        for role, size in region.roles :
        "${file}.yaml: roles.${role}.count: is ${size.count}, and should be 1 to count_max (${size.count_max})"
        if size.count < 1 || size.count > size.count_max
      ],
      [
        for role in ["creator", "notifier"] :
        "${file}.yaml: roles.${role}.count_max: is ${region.roles[role].count_max}, above partitions (${region.partitions}): the rest would own nothing"
        if region.roles[role].count_max > region.partitions
      ],
      [
        for field in ["image", "collector_image"] :
        "${file}.yaml: aws.${field}: must end in @sha256: and the digest: a tag may be another image tomorrow"
        if !can(regex("@sha256:[0-9a-f]{64}$", region.aws[field]))
      ],
    )
  ])

  problems = concat(
    local._unknown_fields, local._region_missing, local._names, local._peers, local._partitions, local._cidrs,
    local._brokers, local._stores, local._roles,
  )
}
