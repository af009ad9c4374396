# The roles on ECS Fargate, each a service of its own that is deployed and scaled by itself. Creators and queriers run
# for every stack; intake and notifier once, on the stack that serves.
#
# What a task is told is the contract with the service's settings.py: TOCSIN_* variables to the role, and nothing else.
# Region files and secrets are files to the service; a container that ends before the role starts places them. Beside the
# role stands a collector, to which it sends metrics and traces. The role neither waits for it nor ends with it.

locals {
  services = merge(
    {
      intake   = { role = "intake", stack = var.serving_stack }
      notifier = { role = "notifier", stack = var.serving_stack }
    },
    { for stack in keys(var.stacks) : "creator-${stack}" => { role = "creator", stack = stack } },
    { for stack in keys(var.stacks) : "querier-${stack}" => { role = "querier", stack = stack } },
  )

  # Behind the door of its role stands the stack that serves.
  doors = {
    for name, service in local.services : name => var.doors[service.role]
    if contains(keys(var.doors), service.role) && service.stack == var.serving_stack
  }

  environment = {
    for name, service in local.services : name => merge(
      {
        TOCSIN_ADMIN_PORT    = tostring(var.processes[service.role].admin_port)
        TOCSIN_DATA_DIR      = var.data_dir
        TOCSIN_OTLP_ENDPOINT = "http://127.0.0.1:4318"
        TOCSIN_REGION        = var.name
        TOCSIN_REGIONS_DIR   = var.regions_dir
        TOCSIN_STACK         = service.stack
      },
      service.role == "querier" ? { TOCSIN_TOKEN_FILE = "${var.secrets_dir}/tokens.json" } : {},
    )
  }

  # Which secrets a role reads: name to file.
  _directory = { DIRECTORY = { file = "${var.secrets_dir}/directory.yaml", arn = aws_secretsmanager_secret.this["directory"].arn } }
  # What webhooks are signed by: of every task the same, and of every region.
  _paging = merge(
    { PAGING_KEY = { file = "${var.secrets_dir}/paging.key", arn = aws_secretsmanager_secret.this["paging-key"].arn } },
    !var.smtp_login ? {} : { SMTP_PASSWORD = { file = "${var.secrets_dir}/smtp-password", arn = aws_secretsmanager_secret.this["smtp-password"].arn } },
  )
  _tokens = { TOKENS = { file = "${var.secrets_dir}/tokens.json", arn = aws_secretsmanager_secret.this["tokens"].arn } }
  _store = {
    for stack, secrets in var.stacks : stack => {
      STORE_CA       = { file = "${var.secrets_dir}/${stack}-ca.pem", arn = secrets.ca }
      STORE_PASSWORD = { file = "${var.secrets_dir}/${stack}-password", arn = secrets.password }
    }
  }
  secrets = {
    for name, service in local.services : name => merge(
      service.role == "creator" ? {} : local._directory,
      service.role == "notifier" ? local._paging : {},
      service.role == "querier" ? local._tokens : {},
      service.role == "intake" ? {} : local._store[service.stack],
    )
  }

  # What the container that places files is told: variable to text, and file to variable.
  region_files = { for region, text in var.region_files : "REGION_${upper(replace(region, "-", "_"))}" => text }
  placed = {
    for name, service in local.services : name => merge(
      { for region in keys(var.region_files) : "${var.regions_dir}/${region}.yaml" => "REGION_${upper(replace(region, "-", "_"))}" },
      { for variable, secret in local.secrets[name] : secret.file => variable },
    )
  }
}

resource "aws_secretsmanager_secret" "this" {
  for_each = merge(
    {
      directory  = "Services and their routing keys, in YAML"
      paging-key = "What webhooks are signed by: 32 characters, the same in every region"
      tokens     = "Hashes of the tokens of the REST interface, as `tocsin token create` writes them"
    },
    !var.smtp_login ? {} : { smtp-password = "The password by which the notifier logs in to the mail server" },
  )

  name        = "tocsin/${var.name}/${each.key}"
  description = each.value
  kms_key_id  = var.key_arn
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "role" {
  for_each = local.services

  name              = "/tocsin/${var.name}/${each.key}"
  kms_key_id        = var.key_arn
  retention_in_days = 30
}

resource "aws_ecs_task_definition" "this" {
  for_each = local.services

  family                   = "${var.name}-${each.key}"
  cpu                      = var.roles[each.value.role].cpu
  enable_fault_injection   = var.drill
  execution_role_arn       = aws_iam_role.start[each.key].arn
  memory                   = var.roles[each.value.role].memory_mib
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  task_role_arn            = aws_iam_role.role[each.key].arn

  container_definitions = jsonencode([
    {
      name                   = "files"
      image                  = var.image
      essential              = false
      entryPoint             = ["python", "/opt/tocsin/place_files.py"]
      user                   = "10001:10001"
      readonlyRootFilesystem = true
      environment = concat(
        [{ name = "FILES", value = jsonencode(local.placed[each.key]) }],
        [for variable, text in local.region_files : { name = variable, value = text }],
      )
      secrets          = [for variable, secret in local.secrets[each.key] : { name = variable, valueFrom = secret.arn }]
      mountPoints      = [{ sourceVolume = "config", containerPath = var.config_dir, readOnly = false }]
      linuxParameters  = { capabilities = { drop = ["ALL"] } }
      logConfiguration = local._logs[each.key]
    },
    {
      name                   = each.value.role
      image                  = var.image
      essential              = true
      command                = ["run", each.value.role]
      user                   = "10001:10001"
      readonlyRootFilesystem = true
      dependsOn              = [{ containerName = "files", condition = "SUCCESS" }]
      environment            = [for name, value in local.environment[each.key] : { name = name, value = value }]
      mountPoints = [
        { sourceVolume = "config", containerPath = var.config_dir, readOnly = true },
        { sourceVolume = "data", containerPath = var.data_dir, readOnly = false },
        { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
      ]
      portMappings = [
        for port in compact([try(var.processes[each.value.role].port, ""), var.processes[each.value.role].admin_port]) :
        { containerPort = tonumber(port), protocol = "tcp" }
      ]
      # Not ready is no reason to be killed: a halted creator must go on trying. So it is `live` that is asked.
      healthCheck = {
        command     = ["CMD", "python", "/opt/tocsin/health.py"]
        interval    = 10
        retries     = 3
        startPeriod = 60
        timeout     = 5
      }
      linuxParameters  = { capabilities = { drop = ["ALL"] }, initProcessEnabled = true }
      logConfiguration = local._logs[each.key]
      # Twice what a role takes at most to stop in good order.
      stopTimeout = 30
      ulimits     = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
    },
    {
      name                   = "collector"
      image                  = var.collector.image
      essential              = false
      memory                 = 256
      restartPolicy          = { enabled = true }
      user                   = "10001:10001"
      readonlyRootFilesystem = true
      environment            = [{ name = "AOT_CONFIG_CONTENT", value = var.collector.config }]
      linuxParameters        = { capabilities = { drop = ["ALL"] } }
      logConfiguration       = local._logs[each.key]
    },
  ])

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  dynamic "volume" {
    for_each = toset(["config", "data", "tmp"])

    content {
      name = volume.key
    }
  }
}

locals {
  _logs = {
    for name, group in aws_cloudwatch_log_group.role : name => {
      logDriver = "awslogs"
      options = {
        awslogs-group         = group.name
        awslogs-region        = var.aws_region
        awslogs-stream-prefix = "task"
      }
    }
  }
}

# The notifier alone speaks to mail servers.
resource "aws_security_group" "notifier" {
  name        = "${var.name}-notifier"
  description = "The way of the notifier to mail servers"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-notifier" }
}

resource "aws_vpc_security_group_egress_rule" "mail" {
  for_each = toset(["465", "587"])

  cidr_ipv4         = "0.0.0.0/0"
  description       = "Mail over TLS"
  from_port         = tonumber(each.key)
  ip_protocol       = "tcp"
  security_group_id = aws_security_group.notifier.id
  to_port           = tonumber(each.key)
}

resource "aws_ecs_service" "this" {
  for_each = local.services

  cluster                            = aws_ecs_cluster.this.id
  deployment_maximum_percent         = 200
  deployment_minimum_healthy_percent = 100
  desired_count                      = var.roles[each.value.role].count
  launch_type                        = "FARGATE"
  name                               = each.key
  platform_version                   = "1.4.0"
  propagate_tags                     = "SERVICE"
  task_definition                    = aws_ecs_task_definition.this[each.key].arn

  # Its tasks have them too: drills choose them by it.
  tags = { "tocsin:role" = each.value.role }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "load_balancer" {
    for_each = contains(keys(local.doors), each.key) ? [local.doors[each.key]] : []

    content {
      container_name   = each.value.role
      container_port   = var.processes[each.value.role].port
      target_group_arn = load_balancer.value.target_group_arn
    }
  }

  network_configuration {
    assign_public_ip = false
    security_groups  = concat([var.security_group_id], each.value.role == "notifier" ? [aws_security_group.notifier.id] : [])
    subnets          = var.subnet_ids
  }

  lifecycle {
    # Load decides from then on.
    ignore_changes = [desired_count]
  }
}
