# Two regions that know each other: each reads the other, from the earliest record, by names of their own; each lets the
# other in; and what each task is told is exactly this.

mock_provider "aws" {
  source          = "../mocks"
  override_during = plan
}

override_resource {
  target          = module.log.aws_msk_replicator.from["eu-west-1"]
  override_during = plan
  values = {
    replication_info_list = { source_kafka_cluster_alias = "eu-west-1-alias" }
  }
}

override_resource {
  target          = module.log.aws_msk_replicator.from["eu-central-1"]
  override_during = plan
  values = {
    replication_info_list = { source_kafka_cluster_alias = "eu-central-1-alias" }
  }
}

variables {
  regions_dir = "tests/fixtures/pair"
}

run "eu_central_1_reads_eu_west_1" {
  command = plan

  variables {
    region = "eu-central-1"
  }

  assert {
    condition     = output.deployed.mirror_prefixes == { eu-west-1 = "eu-west-1-alias." }
    error_message = "The prefix that the replicator chose is not what is written back."
  }

  assert {
    condition     = keys(output.region_files) == ["eu-central-1", "eu-west-1"]
    error_message = "The service is not told of both regions."
  }

  assert {
    condition     = jsondecode(output.region_files["eu-central-1"]).peers == [{ name = "eu-west-1", mirror_prefix = "eu-west-1-alias." }]
    error_message = "The service is not told by which prefix it reads its peer."
  }

  assert {
    condition     = keys(output.deployed.peerings) == ["eu-west-1"]
    error_message = "The region whose name sorts first does not request the connection."
  }
}

run "eu_west_1_reads_eu_central_1" {
  command = plan

  variables {
    region = "eu-west-1"
  }

  assert {
    condition     = output.deployed.mirror_prefixes == { eu-central-1 = "eu-central-1-alias." }
    error_message = "The prefix that the replicator chose is not what is written back."
  }

  assert {
    condition     = jsondecode(output.region_files["eu-west-1"]).peers == [{ name = "eu-central-1", mirror_prefix = "eu-central-1-alias." }]
    error_message = "The service is not told by which prefix it reads its peer."
  }

  assert {
    condition     = length(output.deployed.peerings) == 0
    error_message = "Both regions request a connection: there would be two."
  }
}

run "environment_is_exactly_this" {
  command = plan

  variables {
    region = "eu-central-1"
  }

  assert {
    condition = output.environment == {
      creator-blue = {
        TOCSIN_ADMIN_PORT    = "9082"
        TOCSIN_DATA_DIR      = "/var/lib/tocsin"
        TOCSIN_OTLP_ENDPOINT = "http://127.0.0.1:4318"
        TOCSIN_REGION        = "eu-central-1"
        TOCSIN_REGIONS_DIR   = "/etc/tocsin/regions"
        TOCSIN_STACK         = "blue"
      }
      intake = {
        TOCSIN_ADMIN_PORT    = "9080"
        TOCSIN_DATA_DIR      = "/var/lib/tocsin"
        TOCSIN_OTLP_ENDPOINT = "http://127.0.0.1:4318"
        TOCSIN_REGION        = "eu-central-1"
        TOCSIN_REGIONS_DIR   = "/etc/tocsin/regions"
        TOCSIN_STACK         = "blue"
      }
      notifier = {
        TOCSIN_ADMIN_PORT    = "9083"
        TOCSIN_DATA_DIR      = "/var/lib/tocsin"
        TOCSIN_OTLP_ENDPOINT = "http://127.0.0.1:4318"
        TOCSIN_REGION        = "eu-central-1"
        TOCSIN_REGIONS_DIR   = "/etc/tocsin/regions"
        TOCSIN_STACK         = "blue"
      }
      querier-blue = {
        TOCSIN_ADMIN_PORT    = "9081"
        TOCSIN_DATA_DIR      = "/var/lib/tocsin"
        TOCSIN_OTLP_ENDPOINT = "http://127.0.0.1:4318"
        TOCSIN_REGION        = "eu-central-1"
        TOCSIN_REGIONS_DIR   = "/etc/tocsin/regions"
        TOCSIN_STACK         = "blue"
        TOCSIN_TOKEN_FILE    = "/etc/tocsin/secrets/tokens.json"
      }
    }
    error_message = "A task is told something else than tests/infra has settings.py accept."
  }
}
