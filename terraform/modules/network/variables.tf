variable "name" {
  description = "What the resources' names begin with."
  type        = string
}

variable "account" {
  description = "The AWS account."
  type        = string
}

variable "region" {
  description = "The AWS region."
  type        = string
}

variable "cidr" {
  description = "The VPC's network."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.cidr)) && tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 22
    error_message = "The network must be between /16 and /22: below that, a zone's data subnet is smaller than AWS allows."
  }
}

variable "zones" {
  description = "Availability zones, two to six. Their order decides the subnets' addresses: add new ones at the end."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 6 && length(distinct(var.zones)) == length(var.zones)
    error_message = "Two to six different zones are needed."
  }
}

variable "nat_gateways" {
  description = "NAT gateways, in the first zones. With fewer than zones, the loss of a zone cuts others off from the internet."
  type        = number

  validation {
    condition     = var.nat_gateways >= 1 && var.nat_gateways <= length(var.zones)
    error_message = "There must be at least one NAT gateway and at most one for each zone."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached by an interface endpoint, as the last part of their endpoint's name."
  type        = set(string)
}

variable "log_retention_days" {
  description = "How long flow logs are kept, in days."
  type        = number
}

variable "logs_key_arn" {
  description = "The key that log groups are encrypted with."
  type        = string
}
