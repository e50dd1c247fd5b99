mock_provider "aws" {}

variables {
  name                = "renec-test"
  account             = "123456789012"
  region              = "us-east-1"
  cidr                = "10.40.0.0/16"
  zones               = ["us-east-1a", "us-east-1b", "us-east-1c"]
  nat_gateways        = 3
  interface_endpoints = ["ecr.api", "sts"]
  log_retention_days  = 30
  logs_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/logs"
}

run "network" {
  assert {
    condition     = length(aws_subnet.compute) == 3 && length(aws_subnet.data) == 3
    error_message = "Every zone has a subnet for compute and one for data."
  }

  assert {
    condition     = join(" ", [for zone in var.zones : aws_subnet.compute[zone].cidr_block]) == "10.40.0.0/19 10.40.32.0/19 10.40.64.0/19"
    error_message = "Each zone's compute has an eighth of the network."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "Nothing gets a public address by itself."
  }

  assert {
    condition     = alltrue([for zone in var.zones : aws_route.nat[zone].nat_gateway_id == aws_nat_gateway.this[zone].id])
    error_message = "Each zone goes out through its own NAT gateway."
  }

  assert {
    condition     = length([for association in aws_route_table_association.data : association if association.route_table_id == aws_route_table.data.id]) == 3
    error_message = "Data subnets have the table without a way out."
  }

  assert {
    condition     = length(aws_default_security_group.this.ingress) == 0 && length(aws_default_security_group.this.egress) == 0
    error_message = "The default security group lets nothing through."
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.vpc_id == aws_vpc.this.id
    error_message = "All of the VPC's traffic is logged."
  }

  assert {
    condition     = aws_cloudwatch_log_group.flow.kms_key_id == var.logs_key_arn
    error_message = "Flow logs are encrypted with our key."
  }

  assert {
    condition     = length(aws_vpc_endpoint.s3.route_table_ids) == 3
    error_message = "S3 is reached without the internet from every zone."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.cidr_ipv4 != "0.0.0.0/0" && rule.from_port == 443 && rule.to_port == 443])
    error_message = "Endpoints take HTTPS from the compute subnets alone."
  }
}

run "one_nat_gateway" {
  variables {
    nat_gateways = 1
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_subnet.public) == 1
    error_message = "There is one NAT gateway."
  }

  assert {
    condition     = alltrue([for route in aws_route.nat : route.nat_gateway_id == aws_nat_gateway.this["us-east-1a"].id])
    error_message = "Every zone goes out through it."
  }
}

run "a_small_network_is_refused" {
  command = plan

  variables {
    cidr = "10.40.0.0/24"
  }

  expect_failures = [var.cidr]
}

run "more_gateways_than_zones_are_refused" {
  command = plan

  variables {
    nat_gateways = 4
  }

  expect_failures = [var.nat_gateways]
}
