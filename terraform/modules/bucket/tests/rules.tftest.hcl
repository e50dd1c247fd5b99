mock_provider "aws" {}

variables {
  name            = "renec-test-backups"
  region          = "us-west-2"
  key_arn         = "arn:aws:kms:us-west-2:123456789012:key/backup"
  noncurrent_days = 30
  lock_days       = 35
  expire_days     = 90
  statements = [{
    sid       = "Logs"
    service   = "delivery.logs.amazonaws.com"
    actions   = ["s3:PutObject"]
    paths     = ["cdn/*"]
    condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
  }]
}

run "bucket" {
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls, aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls, aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "Nothing in it can be made public."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "What is overwritten can be brought back."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "Objects are encrypted with our key."
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Effect == "Deny" && jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "Requests without TLS are refused."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Effect == "Deny" || statement.Principal != "*"])
    error_message = "Nobody is let in by a star."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "Access lists have no effect."
  }

  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled && aws_s3_bucket_object_lock_configuration.this[0].rule[0].default_retention[0].days == 35
    error_message = "Objects are locked for as long as they are needed."
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "A plan never deletes objects."
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this.rule) == 2
    error_message = "Litter and what has expired is cleared away."
  }
}

run "a_service_without_a_condition_is_refused" {
  command = plan

  variables {
    statements = [{ sid = "Open", service = "delivery.logs.amazonaws.com", actions = ["s3:PutObject"], paths = ["*"], condition = {} }]
  }

  expect_failures = [var.statements]
}
