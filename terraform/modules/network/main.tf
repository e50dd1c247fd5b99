locals {
  zones = { for index, zone in var.zones : zone => index }

  # An eighth of the network for each zone's compute, of which there are at most six; the seventh eighth is for
  # data and the last for what faces the internet, each of which gets an eighth of it for a zone.
  compute = { for zone, index in local.zones : zone => cidrsubnet(var.cidr, 3, index) }
  data    = { for zone, index in local.zones : zone => cidrsubnet(cidrsubnet(var.cidr, 3, 6), 3, index) }
  public  = { for zone, index in local.zones : zone => cidrsubnet(cidrsubnet(var.cidr, 3, 7), 3, index) }

  gateways = toset(slice(var.zones, 0, var.nat_gateways))
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# What has no security group of its own gets this one, which lets nothing through.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-unused" }
}

resource "aws_subnet" "compute" {
  for_each = local.compute

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value

  tags = { Name = "${var.name}-compute-${each.key}" }
}

resource "aws_subnet" "data" {
  for_each = local.data

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value

  tags = { Name = "${var.name}-data-${each.key}" }
}

# NAT gateways alone: whatever else were here would be reachable from the internet.
resource "aws_subnet" "public" {
  for_each = { for zone, cidr in local.public : zone => cidr if contains(local.gateways, zone) }

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-public-${each.key}" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = var.name }
}

resource "aws_eip" "nat" {
  for_each = local.gateways

  domain = "vpc"

  tags = { Name = "${var.name}-nat-${each.key}" }

  depends_on = [aws_internet_gateway.this]
}

resource "aws_nat_gateway" "this" {
  for_each = local.gateways

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-public" }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "compute" {
  for_each = local.zones

  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-compute-${each.key}" }
}

# A zone without a NAT gateway of its own goes out through the first zone's.
resource "aws_route" "nat" {
  for_each = local.zones

  route_table_id         = aws_route_table.compute[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[contains(local.gateways, each.key) ? each.key : var.zones[0]].id
}

resource "aws_route_table_association" "compute" {
  for_each = aws_subnet.compute

  subnet_id      = each.value.id
  route_table_id = aws_route_table.compute[each.key].id
}

# Databases neither reach the internet nor are reached from it: their table has the VPC's own route alone.
resource "aws_route_table" "data" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-data" }
}

resource "aws_route_table_association" "data" {
  for_each = aws_subnet.data

  subnet_id      = each.value.id
  route_table_id = aws_route_table.data.id
}
