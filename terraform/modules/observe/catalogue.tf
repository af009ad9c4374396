# The alert catalogue as alarms on Tocsin's own metrics, which the collectors bring to CloudWatch (collector.tf). One
# alarm a condition and a set of its labels `by`. Of a condition
#   `max`, `min`   are a statistic over all series of a minute;
#   `increase`     is their sum over the window, since collectors send what came since they sent last;
#   `sum`          of what is so at the moment is its largest series: samples of a minute cannot be told apart, and added
#                  up they would count each task several times. At a limit of 0 that is the same;
#   `up`           says that the scraper had no answer. Nobody scrapes here: silence of the alert's other metric is that.
# Service levels are no alarms: the README says which, and why.

locals {
  _namespace = "Tocsin"
  _scraped   = "up"

  _statistics = { max = "Maximum", min = "Minimum", sum = "Maximum", increase = "Sum" }
  _folds      = { max = "MAX", min = "MIN", sum = "MAX", increase = "SUM" }

  # Label to its values here. Other labels have those that a condition names.
  _values = {
    peer   = keys(var.replicators)
    region = [var.name]
    role   = distinct([for service in values(var.services) : service.role])
    source = keys(var.replicators)
  }

  unwatched = [for alert in var.alerts : alert.name if alert.outside || alert.service_level != ""]

  # Alert and metric to the condition.
  _conditions = merge([
    for alert in var.alerts : {
      for condition in alert.any_of : "${alert.name}/${condition.metric}" => merge(condition, {
        alert   = alert.name
        by      = distinct(concat(["region"], condition.by))
        for_s   = alert.for_s
        missing = condition.or_missing || anytrue([for other in alert.any_of : other.metric == local._scraped])
        others  = setsubtract(keys(condition.where), condition.by)
        parts   = length([for other in alert.any_of : other if other.metric != local._scraped])
        summary = split("{{ $labels.", alert.summary)
        topic   = alert.severity
      }) if condition.metric != local._scraped
    } if !contains(local.unwatched, alert.name)
  ]...)

  # Alarm to its condition, and to what its labels are. setproduct() takes two sets or more, so there are some of nothing.
  _inside = merge([
    for condition in values(local._conditions) : {
      for values in setproduct([""], [for label in condition.by : try(local._values[label], condition.where[label])]...) :
      join("/", concat(
        [condition.alert],
        condition.parts > 1 ? [trimprefix(condition.metric, "tocsin.")] : [],
        slice(values, 2, length(values)), # after the region, which is the same in all
      )) => merge(condition, { labels = zipmap(condition.by, slice(values, 1, length(values))) })
    }
  ]...)

  # Alarm to its series: by the metric's id in the alarm's expression, name and dimensions.
  _series = {
    for alarm, condition in local._inside : alarm => merge([
      for index, values in setproduct([""], [""], [for label in condition.others : condition.where[label]]...) : {
        for id, metric in { used = condition.metric, most = condition.share_of } :
        "${id}${index}" => { metric = metric, dimensions = merge(condition.labels, zipmap(condition.others, slice(values, 2, length(values)))) }
        if metric != ""
      }
    ]...)
  }
}

resource "aws_cloudwatch_metric_alarm" "inside" {
  for_each = local._inside

  alarm_actions = [aws_sns_topic.this[each.value.topic].arn]
  alarm_description = join(" ", [
    join("", [
      for index, part in each.value.summary : index == 0 ? part : join("", [
        each.value.labels[split(" }}", part)[0]], split(" }}", part)[1],
      ])
    ]),
    "${var.runbooks_url}/${each.value.alert}.md",
  ])
  alarm_name          = "${var.name}/${each.key}"
  comparison_operator = each.value.above != null ? "GreaterThanThreshold" : "LessThanThreshold"
  # A minute begins anywhere between two samples: to have held for one, it must be seen in two.
  evaluation_periods = each.value.of == "increase" ? 1 : 1 + ceil(each.value.for_s / 60)
  ok_actions         = [aws_sns_topic.this[each.value.topic].arn]
  threshold          = each.value.above != null ? each.value.above : each.value.below
  treat_missing_data = each.value.missing ? "breaching" : "notBreaching"

  metric_query {
    id          = "value"
    expression  = "${local._folds[each.value.of]}(METRICS(\"used\"))${each.value.share_of == "" ? "" : " / MAX(METRICS(\"most\"))"}"
    label       = each.value.metric
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local._series[each.key]

    content {
      id = metric_query.key

      metric {
        dimensions  = metric_query.value.dimensions
        metric_name = metric_query.value.metric
        namespace   = local._namespace
        period      = each.value.of == "increase" ? each.value.over_s : 60
        stat        = local._statistics[each.value.of]
      }
    }
  }
}
