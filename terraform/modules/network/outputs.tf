output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "compute_subnets" {
  description = "Subnets of nodes and pods, by zone."
  value       = { for zone, subnet in aws_subnet.compute : zone => subnet.id }
}

output "data_subnets" {
  description = "Subnets of databases and caches, by zone."
  value       = { for zone, subnet in aws_subnet.data : zone => subnet.id }
}

output "nat_gateways" {
  description = "The NAT gateways, by zone."
  value       = { for zone, gateway in aws_nat_gateway.this : zone => gateway.id }
}

output "egress_addresses" {
  description = "The public addresses that the environment goes out with."
  value       = [for address in aws_eip.nat : address.public_ip]
}
