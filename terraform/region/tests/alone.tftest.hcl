# A region whose peer is not there: it plans and applies from its own file and the peer's, and nothing of the peer's
# is asked for.

mock_provider "aws" {
  source          = "../mocks"
  override_during = plan
}

variables {
  region = "eu-central-1"
}

run "planned_while_the_peer_is_absent" {
  command = plan

  assert {
    condition     = length(module.log.replicators) == 0
    error_message = "A mirror was planned from a log that is not there."
  }

  assert {
    condition     = keys(output.region_files) == ["eu-central-1"]
    error_message = "The service was told of a peer whose log is not mirrored here."
  }

  assert {
    condition     = length(output.deployed.peerings) == 0
    error_message = "A connection to a network was planned that is not there."
  }
}
