# AWS's own services, reached from within.

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Who asks AWS's own services from within"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  cidr_ipv4         = var.cidr
  description       = "TLS from this network"
  from_port         = 443
  ip_protocol       = "tcp"
  security_group_id = aws_security_group.endpoints.id
  to_port           = 443
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.endpoints

  private_dns_enabled = true
  security_group_ids  = [aws_security_group.endpoints.id]
  service_name        = "com.amazonaws.${var.aws_region}.${each.key}"
  subnet_ids          = [for zone in var.zones : aws_subnet.private[zone].id]
  vpc_endpoint_type   = "Interface"
  vpc_id              = aws_vpc.this.id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_endpoint" "s3" {
  route_table_ids   = [for zone in var.zones : aws_route_table.private[zone].id]
  service_name      = "com.amazonaws.${var.aws_region}.s3"
  vpc_endpoint_type = "Gateway"
  vpc_id            = aws_vpc.this.id

  tags = { Name = "${var.name}-s3" }
}
