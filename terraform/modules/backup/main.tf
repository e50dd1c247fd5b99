# Beside RDS's own backups, which end with the instance's retention and are in RDS's hands: snapshots in a vault that
# is locked, and a copy of each in another region.
resource "aws_backup_vault" "this" {
  for_each = { (var.region) = var.key_arn, (var.backup_region) = var.backup_key_arn }

  region      = each.key
  name        = var.name
  kms_key_arn = each.value
}

# Governance mode: people with the right to may still change the lock, and nobody else may delete before its time.
resource "aws_backup_vault_lock_configuration" "this" {
  for_each = aws_backup_vault.this

  region             = each.key
  backup_vault_name  = each.value.name
  min_retention_days = var.retention_days
}

resource "aws_backup_vault_notifications" "this" {
  backup_vault_name   = aws_backup_vault.this[var.region].name
  sns_topic_arn       = var.topic_arn
  backup_vault_events = ["BACKUP_JOB_FAILED", "BACKUP_JOB_EXPIRED", "COPY_JOB_FAILED"]
}

resource "aws_backup_plan" "this" {
  name = var.name

  rule {
    rule_name         = "daily"
    target_vault_name = aws_backup_vault.this[var.region].name
    schedule          = var.schedule
    start_window      = 60
    completion_window = 480

    lifecycle {
      delete_after = var.retention_days
    }

    copy_action {
      destination_vault_arn = aws_backup_vault.this[var.backup_region].arn

      lifecycle {
        delete_after = var.retention_days
      }
    }
  }
}

resource "aws_iam_role" "this" {
  name = "${var.name}-backup-service"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "backup.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

# It takes backups; restores are made by people, with their own rights.
resource "aws_iam_role_policy_attachment" "this" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup"
}

resource "aws_backup_selection" "this" {
  name         = var.name
  plan_id      = aws_backup_plan.this.id
  iam_role_arn = aws_iam_role.this.arn
  resources    = var.resource_arns
}
