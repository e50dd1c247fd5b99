variable "name" {
  description = "What the alarms' names begin with."
  type        = string
}

variable "environment" {
  description = "The environment, as alarms call it."
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

variable "emails" {
  description = "Who is told; a pager's address among them wakes somebody."
  type        = list(string)

  validation {
    condition     = length(var.emails) > 0
    error_message = "Alarms that tell nobody are of no use."
  }
}

variable "runbook_url" {
  description = "Where the runbooks are."
  type        = string
}

variable "key_arn" {
  description = "The key that the topic is encrypted with."
  type        = string
}

variable "edge_key_arn" {
  description = "The key in us-east-1."
  type        = string
}

variable "databases" {
  description = "Identifiers of the database's instances, the primary first."
  type        = list(string)

  validation {
    condition     = length(var.databases) > 0
    error_message = "There is a primary."
  }
}

variable "max_connections" {
  description = "Connections that PostgreSQL accepts in all."
  type        = number
}

variable "replication_lag_seconds" {
  description = "How far a replica may be behind, in seconds."
  type        = number
}

variable "cache_nodes" {
  description = "Ids of the nodes, by group."
  type        = map(list(string))
}

variable "load_balancer" {
  description = "The load balancer, as CloudWatch names it."
  type        = string
}

variable "target_group" {
  description = "The target group, as CloudWatch names it."
  type        = string
}

variable "nat_gateways" {
  description = "The NAT gateways, by zone."
  type        = map(string)
}

variable "health_check_id" {
  description = "The health check from outside."
  type        = string
}

variable "heartbeat_namespace" {
  description = "The CloudWatch namespace of the monitoring's sign of life."
  type        = string
}
