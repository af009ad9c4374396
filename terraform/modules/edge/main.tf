# One door to the outside: a load balancer that ends TLS for one role, with its certificate and its rate rule. Intake and
# query have a door each, so that a region whose queriers step back goes on taking events.

locals {
  names    = ["${var.door}.${var.domain}", "${var.door}.${var.name}.${var.domain}"]
  resource = "${var.name}-${var.door}"
}

resource "aws_security_group" "this" {
  name        = local.resource
  description = "The door of ${var.door}"
  vpc_id      = var.vpc_id

  tags = { Name = local.resource }
}

# The only way in from the internet that there is in a region.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  cidr_ipv4         = "0.0.0.0/0"
  description       = "Clients, over TLS"
  from_port         = 443
  ip_protocol       = "tcp"
  security_group_id = aws_security_group.this.id
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "role" {
  for_each = { clients = var.port, health = var.admin_port }

  description                  = "To the tasks: ${each.key}"
  from_port                    = each.value
  ip_protocol                  = "tcp"
  referenced_security_group_id = var.role_security_group_id
  security_group_id            = aws_security_group.this.id
  to_port                      = each.value
}

resource "aws_vpc_security_group_ingress_rule" "role" {
  for_each = { clients = var.port, health = var.admin_port }

  description                  = "From the door of ${var.door}: ${each.key}"
  from_port                    = each.value
  ip_protocol                  = "tcp"
  referenced_security_group_id = aws_security_group.this.id
  security_group_id            = var.role_security_group_id
  to_port                      = each.value
}

resource "aws_acm_certificate" "this" {
  domain_name               = local.names[0]
  subject_alternative_names = [local.names[1]]
  validation_method         = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

# The proof of a name is the same record in every region, so whoever comes second finds it there.
resource "aws_route53_record" "proof" {
  for_each = toset(local.names)

  allow_overwrite = true
  name            = one([for option in aws_acm_certificate.this.domain_validation_options : option.resource_record_name if option.domain_name == each.key])
  records         = [one([for option in aws_acm_certificate.this.domain_validation_options : option.resource_record_value if option.domain_name == each.key])]
  ttl             = 300
  type            = one([for option in aws_acm_certificate.this.domain_validation_options : option.resource_record_type if option.domain_name == each.key])
  zone_id         = var.zone_id
}

resource "aws_acm_certificate_validation" "this" {
  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [for record in aws_route53_record.proof : record.fqdn]
}

resource "aws_lb" "this" {
  name                       = local.resource
  drop_invalid_header_fields = true
  enable_deletion_protection = false
  # Below the role's own (75 s), so that no request is sent into a connection that is closing.
  idle_timeout       = 60
  internal           = false
  load_balancer_type = "application"
  security_groups    = [aws_security_group.this.id]
  subnets            = var.subnet_ids

  access_logs {
    bucket  = var.log_bucket
    enabled = true
    prefix  = var.door
  }
}

resource "aws_lb_target_group" "this" {
  name                 = local.resource
  deregistration_delay = 15
  port                 = var.port
  protocol             = "HTTP"
  target_type          = "ip"
  vpc_id               = var.vpc_id

  # Readiness of the role itself. When no task is ready, all get requests (an ALB fails open).
  health_check {
    healthy_threshold   = 2
    interval            = 5
    matcher             = "200"
    path                = "/health/ready"
    port                = var.admin_port
    protocol            = "HTTP"
    timeout             = 4
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "https" {
  certificate_arn   = aws_acm_certificate_validation.this.certificate_arn
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  default_action {
    target_group_arn = aws_lb_target_group.this.arn
    type             = "forward"
  }
}

# This region's own name, for people, drills and clients that choose their region themselves.
resource "aws_route53_record" "own" {
  name    = local.names[1]
  type    = "A"
  zone_id = var.zone_id

  alias {
    evaluate_target_health = false
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
  }
}

# One address that floods must not take a region's intake from all others. The service has limits for each service;
# this one keeps rubbish from its door.
resource "aws_wafv2_web_acl" "this" {
  name  = local.resource
  scope = "REGIONAL"

  default_action {
    allow {}
  }

  rule {
    name     = "one-address"
    priority = 1

    action {
      block {
        custom_response {
          response_code = 429
        }
      }
    }

    statement {
      rate_based_statement {
        aggregate_key_type = "IP"
        limit              = var.requests_per_client_max
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${local.resource}-one-address"
      sampled_requests_enabled   = false
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = local.resource
    sampled_requests_enabled   = false
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  resource_arn = aws_lb.this.arn
  web_acl_arn  = aws_wafv2_web_acl.this.arn
}

# What Route 53 reads: is there a task that is ready? Nothing heard is no reason to leave a region.
resource "aws_cloudwatch_metric_alarm" "ready" {
  alarm_description   = "No task of ${var.door} in ${var.name} is ready: clients are sent to the peers."
  alarm_name          = "${local.resource}-ready"
  comparison_operator = "LessThanThreshold"
  dimensions = {
    LoadBalancer = aws_lb.this.arn_suffix
    TargetGroup  = aws_lb_target_group.this.arn_suffix
  }
  evaluation_periods = 2
  metric_name        = "HealthyHostCount"
  namespace          = "AWS/ApplicationELB"
  period             = 60
  statistic          = "Maximum"
  threshold          = 1
  treat_missing_data = "notBreaching"
}
