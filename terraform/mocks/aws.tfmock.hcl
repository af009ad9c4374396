# What AWS would answer, where a made-up word would not do: names of the right shape, and of the right kind.

mock_resource "aws_acm_certificate" {
  defaults = {
    arn = "arn:aws:acm:eu-central-1:111122223333:certificate/11111111-2222-3333-4444-555555555555"

    # Of every name that a test asks for: a certificate looks for its own.
    domain_validation_options = [
      { domain_name = "intake.tocsin.example.com", resource_record_name = "_0.intake.tocsin.example.com", resource_record_type = "CNAME", resource_record_value = "_0.acm-validations.aws" },
      { domain_name = "intake.eu-central-1.tocsin.example.com", resource_record_name = "_1.intake.tocsin.example.com", resource_record_type = "CNAME", resource_record_value = "_1.acm-validations.aws" },
      { domain_name = "intake.eu-west-1.tocsin.example.com", resource_record_name = "_2.intake.tocsin.example.com", resource_record_type = "CNAME", resource_record_value = "_2.acm-validations.aws" },
      { domain_name = "intake.us-east-1.tocsin.example.com", resource_record_name = "_3.intake.tocsin.example.com", resource_record_type = "CNAME", resource_record_value = "_3.acm-validations.aws" },
      { domain_name = "query.tocsin.example.com", resource_record_name = "_0.query.tocsin.example.com", resource_record_type = "CNAME", resource_record_value = "_0.acm-validations.aws" },
      { domain_name = "query.eu-central-1.tocsin.example.com", resource_record_name = "_1.query.tocsin.example.com", resource_record_type = "CNAME", resource_record_value = "_1.acm-validations.aws" },
      { domain_name = "query.eu-west-1.tocsin.example.com", resource_record_name = "_2.query.tocsin.example.com", resource_record_type = "CNAME", resource_record_value = "_2.acm-validations.aws" },
      { domain_name = "query.us-east-1.tocsin.example.com", resource_record_name = "_3.query.tocsin.example.com", resource_record_type = "CNAME", resource_record_value = "_3.acm-validations.aws" },
    ]
  }
}

mock_resource "aws_acm_certificate_validation" {
  defaults = {
    certificate_arn = "arn:aws:acm:eu-central-1:111122223333:certificate/11111111-2222-3333-4444-555555555555"
  }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = {
    arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/tocsin/mocked"
  }
}

mock_resource "aws_cloudwatch_metric_alarm" {
  defaults = {
    arn = "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:mocked"
  }
}

mock_resource "aws_appautoscaling_policy" {
  defaults = {
    arn = "arn:aws:autoscaling:eu-central-1:111122223333:scalingPolicy:11111111-2222-3333-4444-555555555555:mocked"
  }
}

mock_resource "aws_ecs_cluster" {
  defaults = {
    arn = "arn:aws:ecs:eu-central-1:111122223333:cluster/eu-central-1"
    id  = "arn:aws:ecs:eu-central-1:111122223333:cluster/eu-central-1"
  }
}

mock_resource "aws_ecs_task_definition" {
  defaults = {
    arn = "arn:aws:ecs:eu-central-1:111122223333:task-definition/mocked:1"
  }
}

mock_resource "aws_iam_role" {
  defaults = {
    arn = "arn:aws:iam::111122223333:role/mocked"
  }
}

mock_resource "aws_kms_key" {
  defaults = {
    arn = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
  }
}

mock_resource "aws_lb" {
  defaults = {
    arn        = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/mocked/1111111111111111"
    arn_suffix = "app/mocked/1111111111111111"
    dns_name   = "mocked.eu-central-1.elb.amazonaws.com"
    zone_id    = "Z215JYRZR1TBD5"
  }
}

mock_resource "aws_lb_listener" {
  defaults = {
    arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:listener/app/mocked/1111111111111111/2222222222222222"
  }
}

mock_resource "aws_lb_target_group" {
  defaults = {
    arn        = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/mocked/3333333333333333"
    arn_suffix = "targetgroup/mocked/3333333333333333"
  }
}

mock_resource "aws_msk_cluster" {
  defaults = {
    arn                        = "arn:aws:kafka:eu-central-1:111122223333:cluster/eu-central-1/11111111-2222-3333-4444-555555555555-2"
    bootstrap_brokers_sasl_iam = "b-3.log.kafka.eu-central-1.amazonaws.com:9098,b-1.log.kafka.eu-central-1.amazonaws.com:9098,b-2.log.kafka.eu-central-1.amazonaws.com:9098"
  }
}

mock_resource "aws_msk_configuration" {
  defaults = {
    arn             = "arn:aws:kafka:eu-central-1:111122223333:configuration/eu-central-1/11111111-2222-3333-4444-555555555555-2"
    latest_revision = 1
  }
}

mock_resource "aws_s3_bucket" {
  defaults = {
    arn = "arn:aws:s3:::mocked"
  }
}

mock_resource "aws_secretsmanager_secret" {
  defaults = {
    arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:mocked-AbCdEf"
  }
}

mock_resource "aws_sns_topic" {
  defaults = {
    arn = "arn:aws:sns:eu-central-1:111122223333:mocked"
  }
}

mock_resource "aws_wafv2_web_acl" {
  defaults = {
    arn = "arn:aws:wafv2:eu-central-1:111122223333:regional/webacl/mocked/11111111-2222-3333-4444-555555555555"
  }
}

# Any word will do here, but one must be known when it is planned.

mock_resource "aws_ebs_volume" {
  defaults = {}
}

mock_resource "aws_ec2_managed_prefix_list" {
  defaults = {}
}

mock_resource "aws_eip" {
  defaults = {}
}

mock_resource "aws_iam_instance_profile" {
  defaults = {}
}

mock_resource "aws_instance" {
  defaults = {}
}

mock_resource "aws_internet_gateway" {
  defaults = {}
}

mock_resource "aws_nat_gateway" {
  defaults = {}
}

mock_resource "aws_network_interface" {
  defaults = {}
}

mock_resource "aws_route" {
  defaults = {}
}

mock_resource "aws_route_table" {
  defaults = {}
}

mock_resource "aws_security_group" {
  defaults = {}
}

mock_resource "aws_subnet" {
  defaults = {}
}

mock_resource "aws_vpc" {
  defaults = {}
}

mock_resource "aws_vpc_peering_connection" {
  defaults = {}
}

mock_resource "aws_vpc_peering_connection_accepter" {
  defaults = {}
}

mock_resource "aws_route53_health_check" {
  defaults = {}
}

mock_resource "aws_ecs_service" {
  defaults = {}
}

mock_resource "aws_msk_replicator" {
  defaults = {}
}

mock_resource "aws_default_security_group" {
  defaults = {}
}
