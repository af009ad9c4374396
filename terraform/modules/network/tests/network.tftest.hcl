# A network alone, as one of two, and as the second of two.

mock_provider "aws" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  aws_region = "eu-central-1"
  cidr       = "10.10.0.0/16"
  name       = "eu-central-1"
  zones      = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

run "nothing_in_private_subnets_is_reached_from_outside" {
  command = plan

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : coalesce(subnet.map_public_ip_on_launch, false) == false])
    error_message = "A private subnet gives public addresses."
  }

  assert {
    condition     = alltrue([for route in aws_route.private_out : contains([for gateway in aws_nat_gateway.this : gateway.id], route.nat_gateway_id)])
    error_message = "A private subnet has a way to the internet that is not one way."
  }

  assert {
    condition     = length(distinct([for route in aws_route.private_out : route.route_table_id])) == 3
    error_message = "Zones share a way out: one zone's end would be the end of all."
  }

  assert {
    condition     = [for zone, subnet in output.private_subnets : subnet.cidr] == ["10.10.0.0/20", "10.10.16.0/20", "10.10.32.0/20"]
    error_message = "Private subnets moved: nodes of the store have chosen addresses in them."
  }
}

run "starts_while_the_way_out_is_broken" {
  command = plan

  assert {
    condition     = length(setsubtract(["ecr.api", "ecr.dkr", "logs", "secretsmanager"], keys(aws_vpc_endpoint.interface))) == 0
    error_message = "A task could not start without the internet."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == "10.10.0.0/16"
    error_message = "Endpoints answer to others than this network."
  }
}

run "absent_peer_is_not_asked" {
  command = plan

  variables {
    peers = { eu-west-1 = { aws_region = "eu-west-1", cidr = "10.20.0.0/16" } }
  }

  assert {
    condition     = length(aws_vpc_peering_connection.to) + length(aws_vpc_peering_connection_accepter.from) + length(aws_route.peer) == 0
    error_message = "A connection to a network was planned that is not there."
  }
}

run "first_by_name_requests" {
  command = plan

  variables {
    peers = { eu-west-1 = { aws_region = "eu-west-1", cidr = "10.20.0.0/16", vpc_id = "vpc-20" } }
  }

  assert {
    condition     = aws_vpc_peering_connection.to["eu-west-1"].peer_vpc_id == "vpc-20" && aws_vpc_peering_connection.to["eu-west-1"].peer_region == "eu-west-1"
    error_message = "The connection leads elsewhere."
  }

  assert {
    condition     = length(aws_route.peer) == 3 && alltrue([for route in aws_route.peer : route.destination_cidr_block == "10.20.0.0/16"])
    error_message = "A zone has no way to the peer."
  }
}

run "second_by_name_accepts" {
  command = plan

  variables {
    name  = "eu-west-1"
    peers = { eu-central-1 = { aws_region = "eu-central-1", cidr = "10.20.0.0/16", vpc_id = "vpc-10", peering_id = "pcx-1" } }
  }

  assert {
    condition     = length(aws_vpc_peering_connection.to) == 0
    error_message = "Both regions request a connection: there would be two."
  }

  assert {
    condition     = aws_vpc_peering_connection_accepter.from["eu-central-1"].vpc_peering_connection_id == "pcx-1" && aws_vpc_peering_connection_accepter.from["eu-central-1"].auto_accept
    error_message = "What the peer requested is not accepted."
  }
}
