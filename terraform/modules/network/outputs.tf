output "peerings" {
  description = "Peer to the id of the connection that this region requested; the peer accepts it by that id."
  value       = { for name, connection in aws_vpc_peering_connection.to : name => connection.id }
}

output "private_subnets" {
  description = "Zone to its private subnet: `id`, `cidr`."
  value       = { for zone in var.zones : zone => { id = aws_subnet.private[zone].id, cidr = local.zones[zone].private } }
}

output "public_subnet_ids" {
  description = "The public subnets, for load balancers."
  value       = [for zone in var.zones : aws_subnet.public[zone].id]
}

output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}
