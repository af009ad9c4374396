# The public names: nearest region that is ready, and all when none is.

mock_provider "aws" {
  source          = "../mocks"
  override_during = plan
}

variables {
  domain      = "tocsin.example.com"
  regions_dir = "../region/tests/fixtures/three"
  zone_id     = "Z1"
}

run "each_door_leads_to_the_nearest_region_that_is_ready" {
  command = plan

  assert {
    condition     = output.names == { "intake.tocsin.example.com" = ["eu-central-1", "eu-west-1", "us-east-1"], "query.tocsin.example.com" = ["eu-central-1", "eu-west-1", "us-east-1"] }
    error_message = "A region is not behind a public name."
  }

  assert {
    condition     = { for key, record in aws_route53_record.door : key => record.latency_routing_policy[0].region } == { for key in keys(aws_route53_record.door) : key => split("/", key)[1] }
    error_message = "Clients are sent by another region's latency."
  }

  assert {
    condition     = alltrue([for key, record in aws_route53_record.door : record.alias[0].evaluate_target_health && record.health_check_id == aws_route53_health_check.ready[key].id])
    error_message = "Clients are sent to a region whose tasks are not ready."
  }
}

run "it_fails_open" {
  command = plan

  assert {
    condition     = alltrue([for check in aws_route53_health_check.ready : check.insufficient_data_health_status == "Healthy" && check.type == "CLOUDWATCH_METRIC"])
    error_message = "A region that is not heard of is left, though it serves."
  }
}

run "a_region_can_be_left_out" {
  command = plan

  variables {
    left_out = ["eu-west-1"]
  }

  assert {
    condition     = output.names["intake.tocsin.example.com"] == ["eu-central-1", "us-east-1"]
    error_message = "Clients are still sent to the region that is left out."
  }
}

run "all_cannot_be_left_out" {
  command = plan

  variables {
    left_out = ["eu-central-1", "eu-west-1", "us-east-1"]
  }

  expect_failures = [var.left_out]
}

run "unknown_region_cannot_be_left_out" {
  command = plan

  variables {
    left_out = ["eu-wst-1"]
  }

  expect_failures = [var.left_out]
}
