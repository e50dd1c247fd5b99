mock_provider "aws" {}

variables {
  name           = "renec-test"
  account        = "123456789012"
  partition      = "aws"
  region         = "us-east-1"
  backup_region  = "us-west-2"
  key_arn        = "arn:aws:kms:us-east-1:123456789012:key/data"
  backup_key_arn = "arn:aws:kms:us-west-2:123456789012:key/backup"
  retention_days = 35
  schedule       = "cron(30 1 * * ? *)"
  resource_arns  = ["arn:aws:rds:us-east-1:123456789012:db:renec-test"]
  topic_arn      = "arn:aws:sns:us-east-1:123456789012:alarms"
}

run "backup" {
  assert {
    condition     = aws_backup_vault.this["us-west-2"].kms_key_arn == var.backup_key_arn && aws_backup_vault.this["us-east-1"].kms_key_arn == var.key_arn
    error_message = "Both vaults are encrypted with keys of their own."
  }

  assert {
    condition     = alltrue([for lock in aws_backup_vault_lock_configuration.this : lock.min_retention_days == 35]) && length(aws_backup_vault_lock_configuration.this) == 2
    error_message = "Backups cannot be deleted before their time."
  }

  assert {
    condition     = one(one(aws_backup_plan.this.rule).copy_action).destination_vault_arn == aws_backup_vault.this["us-west-2"].arn
    error_message = "Each backup is copied to another region."
  }

  assert {
    condition     = one(one(aws_backup_plan.this.rule).lifecycle).delete_after >= 35
    error_message = "Backups are kept as long as the profile says."
  }

  assert {
    condition     = contains(aws_backup_vault_notifications.this.backup_vault_events, "COPY_JOB_FAILED")
    error_message = "A backup that fails is told."
  }
}

run "the_same_region_is_refused" {
  command = plan

  variables {
    backup_region = "us-east-1"
  }

  expect_failures = [var.backup_region]
}
