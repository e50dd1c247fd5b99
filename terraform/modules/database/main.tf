resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "PostgreSQL: from the cluster's nodes and pods alone."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL from the cluster"
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

locals {
  # Read by PostgreSQL at its start alone.
  at_start = {
    max_connections          = tostring(var.max_connections)
    shared_buffers           = tostring(floor(var.shared_buffers_kib / 8)) # in pages of 8 KiB
    shared_preload_libraries = "pg_stat_statements"
  }

  at_once = {
    "rds.force_ssl"                     = "1"
    work_mem                            = tostring(var.work_mem_kib)
    maintenance_work_mem                = tostring(var.maintenance_work_mem_kib)
    hot_standby_feedback                = "1"
    log_min_duration_statement          = "1000"
    log_lock_waits                      = "1"
    idle_in_transaction_session_timeout = "60000"
  }
}

resource "aws_db_parameter_group" "this" {
  # A new major version needs a new group beside the old one until the upgrade is through.
  name        = "${var.name}-postgres${var.engine_version}"
  family      = "postgres${var.engine_version}"
  description = "From the profile of ${var.name}"

  dynamic "parameter" {
    for_each = local.at_start

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }

  dynamic "parameter" {
    for_each = local.at_once

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "immediate"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "primary" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_type
  db_name        = var.database_name
  port           = 5432

  # RDS makes the administrator's password, keeps it in Secrets Manager and rotates it: it is in no state.
  username                      = "renec_admin"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.key_arn

  allocated_storage     = var.storage_gib
  max_allocated_storage = var.storage_max_gib
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  multi_az               = var.multi_az
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this.name

  iam_database_authentication_enabled = true

  backup_retention_period   = var.retention_days
  backup_window             = var.backup_window
  maintenance_window        = var.maintenance_window
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-${var.final_snapshot}"
  deletion_protection       = var.deletion_protection

  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = false
  apply_immediately           = false

  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.key_arn
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]

  depends_on = [aws_cloudwatch_log_group.primary, aws_iam_role_policy_attachment.monitoring]
}

resource "aws_db_instance" "replica" {
  count = var.replicas

  identifier          = "${var.name}-replica-${count.index + 1}"
  replicate_source_db = aws_db_instance.primary.identifier
  instance_class      = var.instance_type
  port                = 5432

  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = var.key_arn
  max_allocated_storage = var.storage_max_gib

  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this.name

  iam_database_authentication_enabled = true

  maintenance_window    = var.maintenance_window
  copy_tags_to_snapshot = true
  # It holds nothing that the primary does not.
  skip_final_snapshot = true
  deletion_protection = var.deletion_protection

  auto_minor_version_upgrade = true
  apply_immediately          = false

  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.key_arn
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]

  depends_on = [aws_cloudwatch_log_group.replica, aws_iam_role_policy_attachment.monitoring]
}

# The loss of a whole region leaves the backups, and the logs that lead up to the last minutes.
resource "aws_db_instance_automated_backups_replication" "this" {
  region                 = var.backup_region
  source_db_instance_arn = aws_db_instance.primary.arn
  retention_period       = var.retention_days
  kms_key_id             = var.backup_key_arn
}
