# A third region, one file more: it reads both others, and is connected to both.

mock_provider "aws" {
  source          = "../mocks"
  override_during = plan
}

override_resource {
  target          = module.log.aws_msk_replicator.from["eu-central-1"]
  override_during = plan
  values = {
    replication_info_list = { source_kafka_cluster_alias = "eu-central-1-alias" }
  }
}

override_resource {
  target          = module.log.aws_msk_replicator.from["eu-west-1"]
  override_during = plan
  values = {
    replication_info_list = { source_kafka_cluster_alias = "eu-west-1-alias" }
  }
}

variables {
  region      = "us-east-1"
  regions_dir = "tests/fixtures/three"
}

run "third_region_reads_both" {
  command = plan

  assert {
    condition     = keys(output.deployed.mirror_prefixes) == ["eu-central-1", "eu-west-1"]
    error_message = "The third region lacks a mirror."
  }

  assert {
    condition     = keys(output.region_files) == ["eu-central-1", "eu-west-1", "us-east-1"]
    error_message = "The service is not told of all three regions."
  }

  assert {
    condition     = jsondecode(output.region_files["us-east-1"]).founding == false
    error_message = "A region that joins later would count as there from the start."
  }

  assert {
    condition     = length(module.network.peerings) == 0 && length(module.log.replicators) == 2
    error_message = "The third region requests connections that the others request of it, or lacks a replicator."
  }
}
