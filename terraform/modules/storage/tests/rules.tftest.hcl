mock_provider "aws" {}

variables {
  name               = "renec-test"
  account            = "123456789012"
  region             = "us-east-1"
  backup_region      = "us-west-2"
  key_arn            = "arn:aws:kms:us-east-1:123456789012:key/data"
  backup_key_arn     = "arn:aws:kms:us-west-2:123456789012:key/backup"
  retention_days     = 35
  log_retention_days = 30
  distribution_arn   = "arn:aws:cloudfront::123456789012:distribution/E1"
}

run "storage" {
  assert {
    condition     = module.backups_copy.name == "renec-test-backups-copy-123456789012" && aws_s3_bucket_replication_configuration.backups.bucket == module.backups.name
    error_message = "Backups are copied to a bucket of their own."
  }

  assert {
    condition     = aws_s3_bucket_replication_configuration.backups.rule[0].status == "Enabled" && aws_s3_bucket_replication_configuration.backups.rule[0].destination[0].encryption_configuration[0].replica_kms_key_id == var.backup_key_arn
    error_message = "The copies are encrypted with the backup region's key."
  }

  assert {
    condition     = aws_s3_bucket_replication_configuration.backups.rule[0].delete_marker_replication[0].status == "Disabled"
    error_message = "A deletion is not copied."
  }

  assert {
    condition     = aws_s3_bucket_replication_configuration.backups.rule[0].source_selection_criteria[0].sse_kms_encrypted_objects[0].status == "Enabled"
    error_message = "Encrypted objects are copied too: without it, none would be."
  }

  assert {
    condition     = jsondecode(module.assets.policy).Statement[1].Condition.StringEquals["aws:SourceArn"] == var.distribution_arn
    error_message = "Only our distribution reads static files."
  }

  assert {
    condition     = alltrue([for policy in [module.backups.policy, module.backups_copy.policy] : length(jsondecode(policy).Statement) == 1])
    error_message = "No AWS service is let into the backups."
  }

  assert {
    condition     = !anytrue([for statement in jsondecode(aws_iam_role_policy.replication.policy).Statement : anytrue([for action in flatten([statement.Action]) : strcontains(action, "Delete") || strcontains(action, "*")])])
    error_message = "Replication can delete nothing."
  }
}

run "backups_without_a_lock_are_refused" {
  command = plan

  variables {
    retention_days = 0
  }

  expect_failures = [var.retention_days]
}
