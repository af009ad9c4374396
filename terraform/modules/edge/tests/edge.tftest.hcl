# A door: the only way in, over TLS, to tasks that are ready.

mock_provider "aws" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  admin_port              = 9080
  domain                  = "tocsin.example.com"
  door                    = "intake"
  log_bucket              = "logs"
  name                    = "eu-central-1"
  port                    = 8080
  requests_per_client_max = 30000
  role_security_group_id  = "sg-roles"
  subnet_ids              = ["subnet-7", "subnet-8"]
  vpc_id                  = "vpc-10"
  zone_id                 = "Z1"
}

run "one_way_in_and_it_is_tls" {
  command = plan

  assert {
    condition     = aws_lb_listener.https.protocol == "HTTPS" && aws_lb_listener.https.ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    error_message = "Clients are spoken to in plain text, or in a TLS of yesterday."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.from_port == 443 && aws_vpc_security_group_ingress_rule.clients.to_port == 443
    error_message = "Another port than that of TLS is open to the world."
  }
}

run "ready_tasks_get_requests" {
  command = plan

  assert {
    condition     = aws_lb_target_group.this.health_check[0].path == "/health/ready" && aws_lb_target_group.this.health_check[0].port == "9080"
    error_message = "It is not the role's readiness that decides who gets requests."
  }

  assert {
    condition     = { for name, rule in aws_vpc_security_group_ingress_rule.role : name => rule.from_port } == { for name, rule in aws_vpc_security_group_egress_rule.role : name => rule.from_port }
    error_message = "The door may go where the tasks do not let it in, or the other way round."
  }

  assert {
    condition     = aws_lb.this.idle_timeout < 75
    error_message = "The role closes connections before the door does: requests would be lost."
  }
}

run "silence_is_no_reason_to_leave" {
  command = plan

  assert {
    condition     = aws_cloudwatch_metric_alarm.ready.treat_missing_data == "notBreaching" && aws_cloudwatch_metric_alarm.ready.metric_name == "HealthyHostCount"
    error_message = "A metric that is late would send all clients away."
  }
}

run "one_address_cannot_flood" {
  command = plan

  assert {
    condition     = one(aws_wafv2_web_acl.this.rule).statement[0].rate_based_statement[0].limit == 30000 && length(one(aws_wafv2_web_acl.this.rule).action[0].block) == 1
    error_message = "What is above the rate is let through."
  }
}
