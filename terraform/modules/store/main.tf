# The outcome store of one stack: Apache Cassandra, a cluster of its own in each region, never replicated across regions.
# Amazon Keyspaces does not take the service's write times (docs/adr/0019), so nodes are made here, or given.
#
# A node is an address, a disk and a machine, three resources: the machine may be replaced at any time, and its
# successor finds the same disk at the same address. Certificates name the addresses, so they are chosen, not given.

locals {
  native_port = 9042
  ring_port   = 7001

  # The first addresses of a subnet are AWS's own; from the tenth on, nodes.
  _nodes = var.nodes == null ? {} : merge([
    for zone, subnet in var.subnets : {
      for number in range(var.nodes.per_zone) : "${zone}-${number}" => {
        address   = cidrhost(subnet.cidr, 10 + number)
        number    = number
        subnet_id = subnet.id
        zone      = zone
      }
    }
  ]...)
  seeds          = [for node in local._nodes : node.address if node.number == 0]
  contact_points = var.nodes == null ? var.contact_points : [for node in local._nodes : "${node.address}:${local.native_port}"]

  # What people put there: Terraform makes the places and never sees a value.
  secrets = merge(
    {
      ca       = "The CA of the nodes' certificates, in PEM"
      password = "The password by which the service logs in"
    },
    var.nodes == null ? {} : {
      node-certificate = "The nodes' private key and certificate (for all their addresses), in PEM, one after the other"
    },
  )
}

resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name        = "tocsin/${var.name}/${each.key}"
  description = each.value
  kms_key_id  = var.key_arn
}

resource "aws_security_group" "nodes" {
  name        = "${var.name}-store"
  description = "The nodes of the store"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-store" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  description                  = "The roles of this region"
  from_port                    = local.native_port
  ip_protocol                  = "tcp"
  referenced_security_group_id = var.client_security_group_id
  security_group_id            = aws_security_group.nodes.id
  to_port                      = local.native_port
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  for_each = var.nodes == null ? toset([for point in var.contact_points : split(":", point)[1]]) : toset([tostring(local.native_port)])

  cidr_ipv4                    = var.nodes == null ? "0.0.0.0/0" : null
  description                  = "To the store of ${var.name}"
  from_port                    = tonumber(each.key)
  ip_protocol                  = "tcp"
  referenced_security_group_id = var.nodes == null ? null : aws_security_group.nodes.id
  security_group_id            = var.client_security_group_id
  to_port                      = tonumber(each.key)
}

resource "aws_vpc_security_group_ingress_rule" "ring" {
  description                  = "Nodes among themselves, over TLS"
  from_port                    = local.ring_port
  ip_protocol                  = "tcp"
  referenced_security_group_id = aws_security_group.nodes.id
  security_group_id            = aws_security_group.nodes.id
  to_port                      = local.ring_port
}

resource "aws_vpc_security_group_egress_rule" "ring" {
  description                  = "Nodes among themselves, over TLS"
  from_port                    = local.ring_port
  ip_protocol                  = "tcp"
  referenced_security_group_id = aws_security_group.nodes.id
  security_group_id            = aws_security_group.nodes.id
  to_port                      = local.ring_port
}

# At its start a node fetches its certificate.
resource "aws_vpc_security_group_egress_rule" "secrets" {
  cidr_ipv4         = "0.0.0.0/0"
  description       = "Secrets, and the agent by which people log in"
  from_port         = 443
  ip_protocol       = "tcp"
  security_group_id = aws_security_group.nodes.id
  to_port           = 443
}
