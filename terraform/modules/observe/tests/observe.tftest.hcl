# Alarms with their runbooks, and faults in drill environments alone.

mock_provider "aws" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  alerts     = yamldecode(file("../../../deploy/alerts/catalogue.yaml")).alerts
  aws_region = "eu-central-1"
  cluster    = "eu-central-1"
  doors = {
    intake = { load_balancer = "app/i/1", target_group = "targetgroup/i/1", target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/i/1" }
    query  = { load_balancer = "app/q/1", target_group = "targetgroup/q/1", target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/q/1" }
  }
  instance_ids    = { blue-eu-central-1a-0 = "i-1" }
  key_arn         = "arn:aws:kms:eu-central-1:111122223333:key/1"
  log_name        = "eu-central-1"
  name            = "eu-central-1"
  peer_cidrs      = { eu-west-1 = "10.20.0.0/16" }
  replicators     = { eu-west-1 = "eu-central-1-from-eu-west-1" }
  requests_topics = ["requests", "eu-west-1-alias.requests"]
  runbooks_url    = "https://runbooks.example.com"
  services        = { creator-blue = { role = "creator", stack = "blue" }, intake = { role = "intake", stack = "blue" } }
  subnet_arns     = { eu-central-1a = "arn:aws:ec2:eu-central-1:111122223333:subnet/subnet-1", eu-central-1b = "arn:aws:ec2:eu-central-1:111122223333:subnet/subnet-2" }
}

run "every_alarm_tells_somebody_and_links_a_runbook_that_is_there" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.outside), values(aws_cloudwatch_metric_alarm.inside)) :
      fileexists("../../../runbooks/${regex("https://runbooks\\.example\\.com/(.*)$", alarm.alarm_description)[0]}")
    ])
    error_message = "Who is woken by an alarm is sent to a page that is not there."
  }

  assert {
    condition     = alltrue([for key, alarm in aws_cloudwatch_metric_alarm.inside : endswith(alarm.alarm_description, " https://runbooks.example.com/${split("/", key)[0]}.md")])
    error_message = "Who is woken by an alert of the catalogue is told to read another's runbook."
  }

  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.outside), values(aws_cloudwatch_metric_alarm.inside)) : length(alarm.alarm_actions) == 1 && alarm.alarm_actions == alarm.ok_actions])
    error_message = "An alarm rings where nobody is."
  }

  assert {
    condition     = toset([for key in keys(aws_cloudwatch_metric_alarm.outside) : split("/", key)[0]]) == toset(keys(local.outside))
    error_message = "An alarm of the watch from outside is not made."
  }
}

run "pages_and_tickets_ring_in_different_places" {
  command = plan

  override_resource {
    target          = aws_sns_topic.this["page"]
    override_during = plan
    values          = { arn = "arn:aws:sns:eu-central-1:111122223333:pages" }
  }

  override_resource {
    target          = aws_sns_topic.this["ticket"]
    override_during = plan
    values          = { arn = "arn:aws:sns:eu-central-1:111122223333:tickets" }
  }

  assert {
    condition = alltrue([
      for alert in var.alerts : alltrue([
        for key, alarm in aws_cloudwatch_metric_alarm.inside : alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:111122223333:${alert.severity}s"])
        if split("/", key)[0] == alert.name
      ])
    ])
    error_message = "Somebody is woken for what can wait, or sleeps through what cannot."
  }

  assert {
    condition     = output.topics == { page = "arn:aws:sns:eu-central-1:111122223333:pages", ticket = "arn:aws:sns:eu-central-1:111122223333:tickets" }
    error_message = "Nobody could subscribe to the right topic."
  }
}

run "every_alert_of_the_catalogue_is_an_alarm_or_said_not_to_be" {
  command = plan

  assert {
    condition     = toset(concat([for key in keys(aws_cloudwatch_metric_alarm.inside) : split("/", key)[0]], output.unwatched)) == toset([for alert in var.alerts : alert.name])
    error_message = "An alert of the catalogue is lost on the way to CloudWatch."
  }

  assert {
    condition     = toset(output.unwatched) == toset(["TocsinIntakeFailing", "TocsinPagesLate", "TocsinStoredLate", "TocsinSyntheticPageMissing", "TocsinVisibleLate"])
    error_message = "Another alert than those of the README is no alarm."
  }
}

run "an_alarm_looks_at_what_the_alert_looks_at" {
  command = plan

  assert {
    condition = {
      for query in aws_cloudwatch_metric_alarm.inside["TocsinPagesFailing/notifier.ended"].metric_query : query.id => (
        query.expression != null ? query.expression : jsonencode(query.metric)
      )
      } == {
      value = "SUM(METRICS(\"used\"))"
      used0 = jsonencode([{ dimensions = { outcome = "failed", region = "eu-central-1" }, metric_name = "tocsin.notifier.ended", namespace = "Tocsin", period = 900, stat = "Sum", unit = null }])
      used1 = jsonencode([{ dimensions = { outcome = "unknown", region = "eu-central-1" }, metric_name = "tocsin.notifier.ended", namespace = "Tocsin", period = 900, stat = "Sum", unit = null }])
    }
    error_message = "Pages that fail are counted by some other sum than the catalogue's."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.inside["TocsinPagesFailing/notifier.ended"].threshold == 2 && aws_cloudwatch_metric_alarm.inside["TocsinPagesFailing/notifier.ended"].comparison_operator == "GreaterThanThreshold"
    error_message = "The limit is not the catalogue's."
  }

  assert {
    condition     = [for query in aws_cloudwatch_metric_alarm.inside["TocsinBoundNearlyFull/intake/events_in_flight"].metric_query : query.expression if query.return_data == true] == ["MAX(METRICS(\"used\")) / MAX(METRICS(\"most\"))"]
    error_message = "A share is not one."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.inside["TocsinRetentionHeadroomLow"].comparison_operator == "LessThanThreshold" && aws_cloudwatch_metric_alarm.inside["TocsinRetentionHeadroomLow"].threshold == 86400
    error_message = "Headroom that shrinks is not seen."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.inside["TocsinBacklog/creator.lag_time"].evaluation_periods == 3 && startswith(aws_cloudwatch_metric_alarm.inside["TocsinPeerSilent/eu-west-1"].alarm_description, "Region eu-central-1 hears nothing of region eu-west-1 ")
    error_message = "It rings too early, or does not say of whom."
  }
}

run "a_role_that_says_nothing_is_down" {
  command = plan

  assert {
    condition     = { for key, alarm in aws_cloudwatch_metric_alarm.inside : key => alarm.treat_missing_data if startswith(key, "TocsinRoleDown/") } == { "TocsinRoleDown/creator" = "breaching", "TocsinRoleDown/intake" = "breaching" }
    error_message = "A role that is gone says nothing, and nothing is said of it."
  }
}

run "collectors_bring_what_alarms_look_at" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for alarm in aws_cloudwatch_metric_alarm.inside : [
        for query in alarm.metric_query : [
          for metric in query.metric : anytrue([
            for declared in jsondecode(output.collector.config).exporters.awsemf.metric_declarations :
            can(regex(declared.metric_name_selectors[0], metric.metric_name)) && contains([for one in declared.dimensions : join(" ", one)], join(" ", sort(keys(metric.dimensions))))
          ])
        ]
      ]
    ]))
    error_message = "An alarm looks at a metric, or by dimensions, that no collector brings: it would never ring."
  }

  assert {
    condition     = !strcontains(output.collector.config, "$") && jsondecode(output.collector.config).receivers.otlp.protocols.http.endpoint == "127.0.0.1:4318"
    error_message = "The collector reads something else than was written, or others than its own task may send to it."
  }
}

run "lag_is_watched_in_own_and_mirrored_requests" {
  command = plan

  assert {
    condition     = toset([for key, alarm in aws_cloudwatch_metric_alarm.outside : alarm.dimensions.Topic if startswith(key, "CreatorsBehind/")]) == toset(["requests", "eu-west-1-alias.requests"])
    error_message = "Creators may fall behind in a topic, unseen."
  }

  assert {
    condition     = alltrue([for key, alarm in aws_cloudwatch_metric_alarm.outside : alarm.treat_missing_data == "breaching" if startswith(key, "ReplicatorBehind/")])
    error_message = "A mirror that is gone says nothing, and nothing is said of it."
  }
}

run "a_region_alone_watches_no_peer" {
  command = plan

  variables {
    replicators = {}
  }

  assert {
    condition     = length([for key in keys(aws_cloudwatch_metric_alarm.inside) : key if startswith(key, "TocsinPeerSilent") || startswith(key, "TocsinMirrorBehind")]) == 0
    error_message = "A region that has no peer waits for one."
  }
}

run "no_faults_where_no_drills_are" {
  command = plan

  assert {
    condition     = length(aws_fis_experiment_template.this) + length(aws_iam_role.drill) + length(aws_ec2_managed_prefix_list.peers) + length(aws_cloudwatch_log_group.drill) == 0
    error_message = "Faults can be injected into a region that serves."
  }
}

run "a_drill_stops_when_clients_are_hurt" {
  command = plan

  variables {
    drill = true
  }

  assert {
    condition     = keys(aws_fis_experiment_template.this) == ["creator-killed", "intake-killed", "notifier-killed", "peer-link-cut", "store-down", "zone-lost"]
    error_message = "Another drill than those of the README is there, or one lacks."
  }

  assert {
    condition     = length(local._stops) == 5 && alltrue([for template in aws_fis_experiment_template.this : length(template.stop_condition) > 0 && alltrue([for stop in template.stop_condition : stop.source == "aws:cloudwatch:alarm"])])
    error_message = "Nothing stops a drill that hurts clients, or more alarms do than FIS takes."
  }

  assert {
    condition     = alltrue([for template in aws_fis_experiment_template.this : one(one(template.log_configuration).cloudwatch_logs_configuration).log_group_arn == "${aws_cloudwatch_log_group.drill[0].arn}:*"])
    error_message = "What a drill did is not written down."
  }
}

run "a_drill_stays_in_its_region_and_ends" {
  command = plan

  variables {
    drill = true
  }

  assert {
    condition = alltrue([
      for template in aws_fis_experiment_template.this : length(template.target) == 1 && alltrue([
        for target in template.target :
        anytrue([for tag in target.resource_tag : tag.key == "tocsin:region" && tag.value == "eu-central-1"]) || toset(target.resource_arns) == toset(values(var.subnet_arns))
      ])
    ])
    error_message = "A drill reaches beyond its region."
  }

  assert {
    condition = alltrue([
      for name in ["creator", "intake", "notifier"] : anytrue([
        for tag in one(aws_fis_experiment_template.this["${name}-killed"].target).resource_tag : tag.key == "tocsin:role" && tag.value == name
      ])
    ])
    error_message = "A drill ends tasks of another role."
  }

  assert {
    condition = alltrue([
      for name in ["peer-link-cut", "store-down", "zone-lost"] : anytrue([
        for parameter in one(aws_fis_experiment_template.this[name].action).parameter : parameter.value == "PT10M"
      ])
    ])
    error_message = "What a drill breaks stays broken."
  }
}

run "nothing_is_broken_that_is_not_there" {
  command = plan

  variables {
    drill        = true
    instance_ids = {}
    peer_cidrs   = {}
  }

  assert {
    condition     = keys(aws_fis_experiment_template.this) == ["creator-killed", "intake-killed", "notifier-killed", "zone-lost"]
    error_message = "A drill is offered that would find nothing to break."
  }
}
