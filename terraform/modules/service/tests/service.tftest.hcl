# The roles: what each may do, what it is told, and how it is replaced.

mock_provider "aws" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  aws_region        = "eu-central-1"
  collector         = { config = "{}", image = "example.com/collector@sha256:0000000000000000000000000000000000000000000000000000000000000000", log_group_arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/tocsin/eu-central-1/metrics" }
  config_dir        = "/etc/tocsin"
  data_dir          = "/var/lib/tocsin"
  image             = "example.com/tocsin@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  key_arn           = "arn:aws:kms:eu-central-1:111122223333:key/1"
  log               = { arn = "arn:aws:kafka:eu-central-1:111122223333:cluster/eu-central-1/1", name = "eu-central-1" }
  mirror_prefixes   = { eu-west-1 = "west." }
  name              = "eu-central-1"
  peer_logs         = { eu-west-1 = "arn:aws:kafka:eu-west-1:111122223333:cluster/eu-west-1/2" }
  region_files      = { eu-central-1 = "{}", eu-west-1 = "{}" }
  regions_dir       = "/etc/tocsin/regions"
  secrets_dir       = "/etc/tocsin/secrets"
  security_group_id = "sg-roles"
  serving_stack     = "blue"
  subnet_ids        = ["subnet-1", "subnet-2", "subnet-3"]
  vpc_id            = "vpc-10"

  doors = {
    intake  = { load_balancer = "app/i/1", target_group = "targetgroup/i/1", target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/i/1" }
    querier = { load_balancer = "app/q/1", target_group = "targetgroup/q/1", target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/q/1" }
  }

  processes = {
    intake   = { host = "0.0.0.0", port = 8080, admin_port = 9080 }
    querier  = { host = "0.0.0.0", port = 8081, admin_port = 9081 }
    creator  = { host = "0.0.0.0", admin_port = 9082 }
    notifier = { host = "0.0.0.0", admin_port = 9083 }
  }

  roles = {
    intake   = { cpu = 512, memory_mib = 1024, count = 3, count_max = 12 }
    creator  = { cpu = 1024, memory_mib = 2048, count = 3, count_max = 16 }
    querier  = { cpu = 512, memory_mib = 1024, count = 3, count_max = 12 }
    notifier = { cpu = 1024, memory_mib = 4096, count = 2, count_max = 4 }
  }

  stacks = {
    blue  = { ca = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:blue-ca", password = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:blue-password" }
    green = { ca = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:green-ca", password = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:green-password" }
  }
}

run "each_stack_has_creators_and_queriers_and_one_serves" {
  command = plan

  assert {
    condition     = keys(aws_ecs_service.this) == ["creator-blue", "creator-green", "intake", "notifier", "querier-blue", "querier-green"]
    error_message = "A stack lacks its roles, or a role runs twice."
  }

  assert {
    condition     = [for name, service in aws_ecs_service.this : name if length(service.load_balancer) > 0] == ["intake", "querier-blue"]
    error_message = "Clients reach a stack that does not serve, or no stack."
  }

  assert {
    condition     = output.environment["creator-green"].TOCSIN_STACK == "green"
    error_message = "A creator works for another stack than its own."
  }
}

run "tasks_can_do_no_harm_to_their_host" {
  command = plan

  assert {
    condition     = alltrue(flatten([for task in aws_ecs_task_definition.this : [for container in jsondecode(task.container_definitions) : container.readonlyRootFilesystem && container.user == "10001:10001" && container.linuxParameters.capabilities.drop == ["ALL"]]]))
    error_message = "A container may write to its own files, or runs as root."
  }

  assert {
    condition     = alltrue([for service in aws_ecs_service.this : service.network_configuration[0].assign_public_ip == false])
    error_message = "A task can be reached past the doors."
  }

  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : task.enable_fault_injection == false])
    error_message = "Faults can be injected into a region that serves."
  }
}

run "a_release_that_does_not_start_is_taken_back" {
  command = plan

  assert {
    condition     = alltrue([for service in aws_ecs_service.this : service.deployment_circuit_breaker[0].enable && service.deployment_circuit_breaker[0].rollback && service.deployment_minimum_healthy_percent == 100])
    error_message = "A bad release replaces tasks that work."
  }
}

run "each_role_may_do_its_own_work_and_no_more" {
  command = plan

  assert {
    condition = { for name in ["creator-blue", "intake", "notifier", "querier-blue"] : name => join(" ", sort(flatten([
      for statement in jsondecode(aws_iam_role_policy.log[name].policy).Statement : [for arn in statement.Resource : trimprefix(arn, "arn:aws:kafka:eu-central-1:111122223333:topic/eu-central-1/1/") if strcontains(arn, "eu-central-1:111122223333")]
      if statement.Action == ["kafka-cluster:WriteData"]
      ]))) } == {
      creator-blue = "assignments ledger owners requests"
      intake       = "requests"
      notifier     = "feedback owners requests"
      querier-blue = "requests"
    }
    error_message = "A role may write what is another's to write."
  }

  assert {
    condition     = alltrue([for policy in aws_iam_role_policy.log : !strcontains(policy.policy, "kafka-cluster:*") && !strcontains(policy.policy, "Delete") && !strcontains(policy.policy, "\"Resource\":\"*\"")])
    error_message = "A role may do everything, or delete."
  }
}

run "a_collector_stands_beside_each_role_and_takes_nothing_along" {
  command = plan

  assert {
    condition = alltrue([for task in aws_ecs_task_definition.this : [
      for container in jsondecode(task.container_definitions) : [container.essential, container.memory, container.restartPolicy.enabled, container.environment]
      if container.name == "collector"
    ] == [[false, 256, true, [{ name = "AOT_CONFIG_CONTENT", value = "{}" }]]]])
    error_message = "A task has no collector, or one whose end is the role's, or one that may take all of its memory."
  }

  assert {
    condition     = alltrue([for variables in output.environment : variables.TOCSIN_OTLP_ENDPOINT == "http://127.0.0.1:4318"])
    error_message = "A role sends its metrics elsewhere than to its own collector."
  }

  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : alltrue([for container in jsondecode(task.container_definitions) : !contains([for one in try(container.dependsOn, []) : one.containerName], "collector")])])
    error_message = "Nobody is paged until a collector runs."
  }

  assert {
    condition = jsonencode(distinct([for policy in aws_iam_role_policy.collector : jsondecode(policy.policy).Statement])) == jsonencode([[
      { Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Effect = "Allow", Resource = "arn:aws:logs:eu-central-1:111122223333:log-group:/tocsin/eu-central-1/metrics:log-stream:*" },
      { Action = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], Effect = "Allow", Resource = "*" },
    ]])
    error_message = "A collector may do more than say what it was told, or less."
  }
}

run "webhooks_are_signed_alike_by_every_task" {
  command = plan

  assert {
    condition = [for name, task in aws_ecs_task_definition.this : name if anytrue(flatten([
      for container in jsondecode(task.container_definitions) : [for secret in try(container.secrets, []) : secret.name == "PAGING_KEY"]
    ]))] == ["notifier"]
    error_message = "A notifier makes a key of its own, whose signatures no receiver knows, or a role has a key that it does not use."
  }
}

run "notifier_alone_has_the_mail_server_s_password" {
  command = plan

  variables {
    smtp_login = true
  }

  assert {
    condition     = [for name, secrets in local.secrets : name if contains(keys(secrets), "SMTP_PASSWORD")] == ["notifier"] && contains(keys(output.secrets), "smtp-password")
    error_message = "The notifier cannot log in to the mail server, or another role can."
  }
}

run "intake_may_append_to_its_peers_for_all_regions" {
  command = plan

  assert {
    condition = { for name, policy in aws_iam_role_policy.log : name => join(" ", sort(flatten([
      for statement in jsondecode(policy.policy).Statement : [for arn in statement.Resource : arn if strcontains(arn, "eu-west-1:111122223333:topic")]
      if contains(statement.Action, "kafka-cluster:WriteData")
      ]))) if !strcontains(name, "green") } == {
      creator-blue = ""
      intake       = "arn:aws:kafka:eu-west-1:111122223333:topic/eu-west-1/2/requests"
      notifier     = ""
      querier-blue = "arn:aws:kafka:eu-west-1:111122223333:topic/eu-west-1/2/requests"
    }
    error_message = "`ack: all-regions` cannot be kept, or a role writes to a peer that has no business there."
  }
}

run "creators_follow_their_lag_and_doors_their_load" {
  command = plan

  assert {
    condition     = toset([for query in aws_cloudwatch_metric_alarm.lag["creator-blue/out"].metric_query : query.metric[0].dimensions.Topic if length(query.metric) > 0]) == toset(["requests", "west.requests"])
    error_message = "Creators do not see that they are behind in what was mirrored."
  }

  assert {
    condition     = keys(aws_appautoscaling_policy.load) == ["intake", "querier-blue"] && !contains(keys(aws_appautoscaling_target.this), "notifier")
    error_message = "A role scales by what is not its load."
  }
}
