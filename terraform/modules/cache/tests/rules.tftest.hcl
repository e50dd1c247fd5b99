mock_provider "aws" {}

variables {
  final_snapshot           = "final"
  name                     = "renec-test"
  vpc_id                   = "vpc-1"
  subnet_ids               = ["subnet-a", "subnet-b", "subnet-c"]
  client_security_group_id = "sg-cluster"
  groups = {
    broker = { node_type = "cache.m7g.large", nodes = 2, snapshot_days = 7 }
    cache  = { node_type = "cache.m7g.large", nodes = 2, snapshot_days = 0 }
  }
  password           = "a-password-of-enough-length"
  password_version   = 3
  backup_window      = "01:30-02:30"
  maintenance_window = "sun:05:00-sun:06:00"
  key_arn            = "arn:aws:kms:us-east-1:123456789012:key/data"
  log_retention_days = 30
  logs_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/logs"
  topic_arn          = "arn:aws:sns:us-east-1:123456789012:alarms"
}

run "cache" {
  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : tobool(group.at_rest_encryption_enabled) && group.kms_key_id == var.key_arn])
    error_message = "Data is encrypted with our key."
  }

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.transit_encryption_enabled && group.transit_encryption_mode == "required"])
    error_message = "Connections without TLS are refused."
  }

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.auth_token_wo_version == 3 && group.auth_token == null])
    error_message = "Clients authenticate, and the state does not have the password."
  }

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.multi_az_enabled && group.automatic_failover_enabled])
    error_message = "Another zone takes over."
  }

  assert {
    condition     = [for parameter in aws_elasticache_parameter_group.this["broker"].parameter : parameter.value if parameter.name == "maxmemory-policy"] == ["noeviction"]
    error_message = "The broker never throws jobs away."
  }

  assert {
    condition     = [for parameter in aws_elasticache_parameter_group.this["cache"].parameter : parameter.value if parameter.name == "maxmemory-policy"] == ["allkeys-lru"]
    error_message = "The cache makes room for itself."
  }

  assert {
    condition     = aws_elasticache_replication_group.this["broker"].snapshot_retention_limit == 7 && aws_elasticache_replication_group.this["broker"].final_snapshot_identifier == "renec-test-broker-final"
    error_message = "The broker's jobs are snapshotted, also at its end."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.this.referenced_security_group_id == "sg-cluster" && aws_vpc_security_group_ingress_rule.this.cidr_ipv4 == null
    error_message = "Only the cluster may connect."
  }

  assert {
    condition     = output.node_ids["broker"][1] == "renec-test-broker-002"
    error_message = "Nodes have the names that CloudWatch uses."
  }
}

run "one_node_has_no_failover" {
  variables {
    groups = {
      broker = { node_type = "cache.t4g.small", nodes = 1, snapshot_days = 1 }
      cache  = { node_type = "cache.t4g.small", nodes = 1, snapshot_days = 0 }
    }
  }

  assert {
    condition     = !aws_elasticache_replication_group.this["broker"].multi_az_enabled
    error_message = "AWS refuses Multi-AZ with one node."
  }
}

run "a_short_password_is_refused" {
  command = plan

  variables {
    password = "short"
  }

  expect_failures = [var.password]
}

run "a_broker_without_snapshots_is_refused" {
  command = plan

  variables {
    groups = {
      broker = { node_type = "cache.t4g.small", nodes = 1, snapshot_days = 0 }
      cache  = { node_type = "cache.t4g.small", nodes = 1, snapshot_days = 0 }
    }
  }

  expect_failures = [var.groups]
}
