# The watch from outside: alarms from `alarms.yaml`, on AWS's own metrics. It needs no process of Tocsin's to run. Each
# alarm links to its runbook and rings one of two topics that people subscribe to: one wakes, the other waits for the
# morning.

locals {
  outside = yamldecode(file("${path.module}/alarms.yaml"))

  # What there is of each kind: name to the dimensions of its metrics.
  _subjects = {
    door = { for name, door in var.doors : name => { LoadBalancer = door.load_balancer, TargetGroup = door.target_group } }
    log  = { log = { "Cluster Name" = var.log_name } }
    node = { for name, id in var.instance_ids : name => { InstanceId = id } }
    peer = { for peer, replicator in var.replicators : peer => { "Replicator Name" = replicator } }
    service = {
      for name in keys(var.services) : name => { ClusterName = var.cluster, ServiceName = name }
    }
    topic = merge([
      for name, service in var.services : {
        for topic in var.requests_topics : "${service.stack}/${topic}" => {
          "Cluster Name" = var.log_name, "Consumer Group" = "creator.${service.stack}", Topic = topic
        }
      } if service.role == "creator"
    ]...)
  }

  _outside = merge([
    for alarm, definition in local.outside : {
      for subject, dimensions in local._subjects[definition.each] :
      "${alarm}/${subject}" => merge(definition, { dimensions = dimensions })
      if contains(try(definition.only, [subject]), subject)
    }
  ]...)
}

# By severity.
resource "aws_sns_topic" "this" {
  for_each = toset(["page", "ticket"])

  name              = "${var.name}-${each.key}s"
  kms_master_key_id = var.key_arn
}

resource "aws_cloudwatch_metric_alarm" "outside" {
  for_each = local._outside

  alarm_actions       = [aws_sns_topic.this[each.value.severity].arn]
  alarm_description   = "${each.value.means} ${var.runbooks_url}/${each.value.runbook}.md"
  alarm_name          = "${var.name}/${each.key}"
  comparison_operator = can(each.value.above) ? "GreaterThanThreshold" : "LessThanThreshold"
  dimensions          = each.value.dimensions
  evaluation_periods  = each.value.for_min
  metric_name         = each.value.metric
  namespace           = each.value.namespace
  ok_actions          = [aws_sns_topic.this[each.value.severity].arn]
  period              = 60
  statistic           = each.value.statistic
  threshold           = try(each.value.above, each.value.below)
  treat_missing_data  = each.value.missing
}
