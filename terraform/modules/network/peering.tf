# Between regions, for `ack: all-regions`: intake appends to its peers' brokers. Mirrors do not go this way.
#
# Of two regions the one whose name sorts first requests the connection, once the other's network is there; the other
# accepts it, once it is told its id. Nothing is looked up in the other region: what is known of it comes from its file.

locals {
  requested = { for name, peer in var.peers : name => peer if sort([var.name, name])[0] == var.name && peer.vpc_id != null }
  accepted  = { for name, peer in var.peers : name => peer if sort([var.name, name])[0] == name && peer.peering_id != null }

  peerings = merge(
    { for name, connection in aws_vpc_peering_connection.to : name => connection.id },
    { for name, connection in aws_vpc_peering_connection_accepter.from : name => connection.vpc_peering_connection_id },
  )
  _peer_routes = {
    for pair in setproduct(keys(merge(local.requested, local.accepted)), var.zones) :
    "${pair[0]}/${pair[1]}" => { peer = pair[0], zone = pair[1] }
  }
}

resource "aws_vpc_peering_connection" "to" {
  for_each = local.requested

  peer_region = each.value.aws_region
  peer_vpc_id = each.value.vpc_id
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_peering_connection_accepter" "from" {
  for_each = local.accepted

  auto_accept               = true
  vpc_peering_connection_id = each.value.peering_id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_route" "peer" {
  for_each = local._peer_routes

  destination_cidr_block    = var.peers[each.value.peer].cidr
  route_table_id            = aws_route_table.private[each.value.zone].id
  vpc_peering_connection_id = local.peerings[each.value.peer]
}
