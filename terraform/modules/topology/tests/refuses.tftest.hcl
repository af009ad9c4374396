# What is refused before anything is planned, case by case. tests/infra reads that each message names file and field.

variables {
  files   = { for name in ["eu-central-1", "eu-west-1"] : name => yamldecode(file("../../../regions/aws/${name}.yaml")) }
  region  = "eu-central-1"
  regions = { for name in ["eu-central-1", "eu-west-1"] : name => yamldecode(file("../../../regions/aws/${name}.yaml")) }
}

run "two_regions_that_fit" {
  command = plan

  assert {
    condition     = length(output.problems) == 0
    error_message = "Regions that fit were refused: ${join("; ", output.problems)}"
  }

  assert {
    condition     = keys(output.peers) == ["eu-west-1"]
    error_message = "The peers are not those of the file."
  }
}

run "unknown_peer" {
  command = plan

  variables {
    files   = { eu-central-1 = yamldecode(file("../../../regions/aws/eu-central-1.yaml")) }
    regions = { eu-central-1 = yamldecode(file("../../../regions/aws/eu-central-1.yaml")) }
  }

  expect_failures = [output.problems, output.region]
}
