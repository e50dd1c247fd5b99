mock_provider "aws" {
  mock_resource "aws_db_instance" {
    defaults = {
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds", kms_key_id = "", secret_status = "active" }]
    }
  }
}

variables {
  final_snapshot           = "final"
  name                     = "renec-test"
  account                  = "123456789012"
  partition                = "aws"
  vpc_id                   = "vpc-1"
  subnet_ids               = ["subnet-a", "subnet-b", "subnet-c"]
  client_security_group_id = "sg-cluster"
  engine_version           = 16
  instance_type            = "db.m7g.large"
  replicas                 = 1
  multi_az                 = true
  database_name            = "renec"
  storage_gib              = 100
  storage_max_gib          = 500
  max_connections          = 200
  shared_buffers_kib       = 2097152
  work_mem_kib             = 16384
  maintenance_work_mem_kib = 524288
  retention_days           = 35
  backup_window            = "01:30-02:00"
  maintenance_window       = "sun:05:00-sun:06:00"
  deletion_protection      = true
  backup_region            = "us-west-2"
  key_arn                  = "arn:aws:kms:us-east-1:123456789012:key/data"
  backup_key_arn           = "arn:aws:kms:us-west-2:123456789012:key/backup"
  log_retention_days       = 30
  logs_key_arn             = "arn:aws:kms:us-east-1:123456789012:key/logs"
  topic_arn                = "arn:aws:sns:us-east-1:123456789012:alarms"
}

run "database" {
  assert {
    condition     = aws_db_instance.primary.storage_encrypted && aws_db_instance.primary.kms_key_id == var.key_arn && alltrue([for replica in aws_db_instance.replica : replica.storage_encrypted])
    error_message = "Storage is encrypted with our key."
  }

  assert {
    condition     = !aws_db_instance.primary.publicly_accessible && !anytrue([for replica in aws_db_instance.replica : replica.publicly_accessible])
    error_message = "The database is private."
  }

  assert {
    condition     = aws_db_instance.primary.multi_az
    error_message = "A standby takes over when a zone fails."
  }

  assert {
    condition     = aws_db_instance.primary.deletion_protection && alltrue([for replica in aws_db_instance.replica : replica.deletion_protection])
    error_message = "The database is protected."
  }

  assert {
    condition     = aws_db_instance.primary.manage_master_user_password && aws_db_instance.primary.password == null
    error_message = "The administrator's password is in no state."
  }

  assert {
    condition     = aws_db_instance.primary.backup_retention_period == 35
    error_message = "Backups are kept as long as the profile says."
  }

  assert {
    condition     = !aws_db_instance.primary.delete_automated_backups && !aws_db_instance.primary.skip_final_snapshot
    error_message = "Backups outlive the database."
  }

  assert {
    condition     = aws_db_instance_automated_backups_replication.this.region == "us-west-2" && aws_db_instance_automated_backups_replication.this.kms_key_id == var.backup_key_arn
    error_message = "Backups are copied to another region, encrypted."
  }

  assert {
    condition     = [for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"] == ["1"]
    error_message = "Connections without TLS are refused."
  }

  assert {
    condition     = [for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "max_connections"] == ["200"] && [for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "shared_buffers"] == ["262144"]
    error_message = "PostgreSQL has the profile's numbers, in its own units."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.this.referenced_security_group_id == "sg-cluster" && aws_vpc_security_group_ingress_rule.this.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.this.from_port == 5432 && aws_vpc_security_group_ingress_rule.this.to_port == 5432
    error_message = "Only the cluster may connect, to PostgreSQL alone."
  }

  assert {
    condition     = aws_db_instance.primary.performance_insights_enabled && aws_db_instance.primary.monitoring_interval == 60
    error_message = "Performance can be looked into."
  }

  assert {
    condition     = length(aws_db_instance.replica) == 1 && aws_db_instance.replica[0].replicate_source_db == "renec-test"
    error_message = "There is a read replica of the primary."
  }

  assert {
    condition     = alltrue([for group in merge(aws_cloudwatch_log_group.primary, aws_cloudwatch_log_group.replica) : group.kms_key_id == var.logs_key_arn])
    error_message = "PostgreSQL's logs are encrypted with our key."
  }

  assert {
    condition     = contains(aws_db_event_subscription.this.source_ids, "renec-test-replica-1") && contains(aws_db_event_subscription.this.event_categories, "failover")
    error_message = "A failover is told."
  }
}

run "no_backups_are_refused" {
  command = plan

  variables {
    retention_days = 0
  }

  expect_failures = [var.retention_days]
}

run "storage_without_room_is_refused" {
  command = plan

  variables {
    storage_max_gib = 100
  }

  expect_failures = [var.storage_max_gib]
}
