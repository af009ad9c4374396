# Alarms with their runbooks, and faults in drill environments alone.

mock_provider "aws" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  cluster         = "eu-central-1"
  doors           = { intake = { load_balancer = "app/i/1", target_group = "targetgroup/i/1", target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/i/1" } }
  instance_ids    = { blue-eu-central-1a-0 = "i-1" }
  key_arn         = "arn:aws:kms:eu-central-1:111122223333:key/1"
  log_name        = "eu-central-1"
  name            = "eu-central-1"
  replicators     = { eu-west-1 = "eu-central-1-from-eu-west-1" }
  requests_topics = ["requests", "eu-west-1-alias.requests"]
  runbooks_url    = "https://runbooks.example.com"
  services        = { creator-blue = { role = "creator", stack = "blue" }, intake = { role = "intake", stack = "blue" } }
}

run "every_alarm_tells_somebody_and_links_its_runbook" {
  command = plan

  assert {
    condition     = alltrue([for key, alarm in aws_cloudwatch_metric_alarm.this : endswith(alarm.alarm_description, " https://runbooks.example.com/${split("/", key)[0]}.md")])
    error_message = "Who is woken by an alarm is not told what to read."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "An alarm rings where nobody is."
  }

  assert {
    condition     = toset([for key in keys(aws_cloudwatch_metric_alarm.this) : split("/", key)[0]]) == toset(keys(local.catalogue))
    error_message = "An alarm of the catalogue is not made."
  }
}

run "lag_is_watched_in_own_and_mirrored_requests" {
  command = plan

  assert {
    condition     = toset([for key, alarm in aws_cloudwatch_metric_alarm.this : alarm.dimensions.Topic if startswith(key, "TocsinCreatorsBehind/")]) == toset(["requests", "eu-west-1-alias.requests"])
    error_message = "Creators may fall behind in a topic, unseen."
  }

  assert {
    condition     = alltrue([for key, alarm in aws_cloudwatch_metric_alarm.this : alarm.treat_missing_data == "breaching" if startswith(key, "TocsinMirrorBehind/")])
    error_message = "A mirror that is gone says nothing, and nothing is said of it."
  }
}

run "no_faults_where_no_drills_are" {
  command = plan

  assert {
    condition     = length(aws_fis_experiment_template.this) == 0 && length(aws_iam_role.drill) == 0
    error_message = "Faults can be injected into a region that serves."
  }
}

run "a_drill_stops_when_clients_are_hurt" {
  command = plan

  variables {
    drill = true
  }

  assert {
    condition     = alltrue([for template in aws_fis_experiment_template.this : length(template.stop_condition) > 0 && alltrue([for stop in template.stop_condition : stop.source == "aws:cloudwatch:alarm"])])
    error_message = "Nothing stops a drill that hurts clients."
  }

  assert {
    condition     = alltrue([for template in aws_fis_experiment_template.this : one(one(template.target).resource_tag).value == "eu-central-1"])
    error_message = "A drill reaches beyond its region."
  }
}
