locals {
  # The broker holds jobs, which must not be thrown away; the cache holds what can be fetched again.
  policies = { broker = "noeviction", cache = "allkeys-lru" }
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-cache"
  description = "Valkey: from the cluster's nodes and pods alone."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-cache" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  security_group_id            = aws_security_group.this.id
  description                  = "Valkey from the cluster"
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_parameter_group" "this" {
  for_each = var.groups

  name        = "${var.name}-${each.key}"
  family      = "valkey8"
  description = "From the profile of ${var.name}"

  parameter {
    name  = "maxmemory-policy"
    value = local.policies[each.key]
  }

  # A quarter of the memory is for snapshots and for what clients are sent.
  parameter {
    name  = "reserved-memory-percent"
    value = "25"
  }

  # Connections that a killed worker left behind end by themselves.
  parameter {
    name  = "tcp-keepalive"
    value = "60"
  }
}

resource "aws_elasticache_replication_group" "this" {
  for_each = var.groups

  replication_group_id = "${var.name}-${each.key}"
  description          = "${var.name}: ${each.key}"
  engine               = "valkey"
  engine_version       = "8.0"
  node_type            = each.value.node_type
  port                 = 6379
  parameter_group_name = aws_elasticache_parameter_group.this[each.key].name

  num_cache_clusters         = each.value.nodes
  automatic_failover_enabled = each.value.nodes > 1
  multi_az_enabled           = each.value.nodes > 1
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]

  at_rest_encryption_enabled = true
  kms_key_id                 = var.key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  # Write-only: neither plan nor state has it. A new version of the secret is a new number.
  auth_token_wo              = var.password
  auth_token_wo_version      = var.password_version
  auth_token_update_strategy = "ROTATE"

  snapshot_retention_limit  = each.value.snapshot_days
  snapshot_window           = each.value.snapshot_days > 0 ? var.backup_window : null
  final_snapshot_identifier = each.value.snapshot_days > 0 ? "${var.name}-${each.key}-${var.final_snapshot}" : null
  maintenance_window        = var.maintenance_window

  auto_minor_version_upgrade = true
  apply_immediately          = false
  notification_topic_arn     = var.topic_arn

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.this[each.key].name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = var.groups

  name              = "/${var.name}/${each.key}-slow"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.logs_key_arn
}
