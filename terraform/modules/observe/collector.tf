# What stands beside each task and brings its metrics and traces to AWS: the AWS Distro for OpenTelemetry's collector, by
# the configuration that is made here of what alarms look at. No other metric is sent: each set of labels is paid for.
# Dimensions have the catalogue's names of labels.

locals {
  # Metric to the sets of dimensions by which alarms look at it, as they would be with all peers and roles.
  _declared = {
    for one in flatten([
      for condition in values(local._conditions) : [
        for metric in compact([condition.metric, condition.share_of]) : {
          metric = metric, dimensions = sort(concat(condition.by, tolist(condition.others)))
        }
      ]
    ]) : one.metric => one.dimensions...
  }

  _collector = {
    receivers = { otlp = { protocols = { http = { endpoint = "127.0.0.1:4318" } } } }

    processors = {
      batch             = { send_batch_size = 512, timeout = "5s" }
      cumulativetodelta = {}
      filter            = { metrics = { include = { match_type = "strict", metric_names = keys(local._declared) } } }
      memory_limiter    = { check_interval = "1s", limit_mib = 160, spike_limit_mib = 32 }
      resource = {
        attributes = [
          for label in ["region", "role"] : { key = label, from_attribute = "tocsin.${label}", action = "insert" }
        ]
      }
    }

    exporters = {
      awsemf = {
        dimension_rollup_option          = "NoDimensionRollup"
        log_group_name                   = aws_cloudwatch_log_group.metrics.name
        namespace                        = local._namespace
        region                           = var.aws_region
        resource_to_telemetry_conversion = { enabled = true }
        metric_declarations = [
          for metric, dimensions in local._declared : {
            dimensions = distinct(dimensions)
            # An end by \z, for the collector takes a dollar for a variable.
            metric_name_selectors = ["^${replace(metric, ".", "\\.")}\\z"]
          }
        ]
      }
      awsxray = { region = var.aws_region }
    }

    service = {
      pipelines = {
        metrics = {
          receivers  = ["otlp"]
          processors = ["memory_limiter", "filter", "cumulativetodelta", "resource", "batch"]
          exporters  = ["awsemf"]
        }
        traces = { receivers = ["otlp"], processors = ["memory_limiter", "batch"], exporters = ["awsxray"] }
      }
    }
  }
}

# The way of metrics to CloudWatch: it takes them out of log records of a known form.
resource "aws_cloudwatch_log_group" "metrics" {
  name              = "/tocsin/${var.name}/metrics"
  kms_key_id        = var.key_arn
  retention_in_days = 7
}
