# Static files of the UI, which CloudFront serves. Public by nature, reached through CloudFront alone.
module "assets" {
  source = "../bucket"

  name            = "${var.name}-assets-${var.account}"
  region          = var.region
  key_arn         = null
  noncurrent_days = 30

  statements = [{
    sid       = "CloudFrontReads"
    service   = "cloudfront.amazonaws.com"
    actions   = ["s3:GetObject"]
    paths     = ["*"]
    condition = { StringEquals = { "aws:SourceArn" = var.distribution_arn } }
  }]
}

# Exports and archives beyond what RDS keeps itself. Locked: neither a mistake nor a stolen login deletes them.
module "backups" {
  source = "../bucket"

  name            = "${var.name}-backups-${var.account}"
  region          = var.region
  key_arn         = var.key_arn
  noncurrent_days = var.retention_days
  expire_days     = var.retention_days * 2
  lock_days       = var.retention_days
}

module "backups_copy" {
  source = "../bucket"

  name            = "${var.name}-backups-copy-${var.account}"
  region          = var.backup_region
  key_arn         = var.backup_key_arn
  noncurrent_days = var.retention_days
  expire_days     = var.retention_days * 2
  lock_days       = var.retention_days
}

# Access logs of the load balancer and of CloudFront. With S3's own key: the load balancer writes with no other.
module "logs" {
  source = "../bucket"

  name            = "${var.name}-logs-${var.account}"
  region          = var.region
  key_arn         = null
  noncurrent_days = 7
  expire_days     = var.log_retention_days

  statements = [
    {
      sid       = "LoadBalancer"
      service   = "logdelivery.elasticloadbalancing.amazonaws.com"
      actions   = ["s3:PutObject"]
      paths     = ["load-balancer/AWSLogs/${var.account}/*"]
      condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    },
    {
      sid       = "CloudFront"
      service   = "delivery.logs.amazonaws.com"
      actions   = ["s3:PutObject"]
      paths     = ["cdn/*"]
      condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    },
    {
      sid       = "CloudFrontLooks"
      service   = "delivery.logs.amazonaws.com"
      actions   = ["s3:GetBucketAcl"]
      paths     = [""]
      condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    },
  ]
}

resource "aws_iam_role" "replication" {
  name = "${var.name}-backups-replication"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_iam_role_policy" "replication" {
  name = "replicate"
  role = aws_iam_role.replication.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
        Resource = module.backups.arn
      },
      {
        Effect = "Allow"
        Action = [
          "s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging",
          "s3:GetObjectRetention", "s3:GetObjectLegalHold",
        ]
        Resource = "${module.backups.arn}/*"
      },
      {
        Effect   = "Allow"
        Action   = ["s3:ReplicateObject", "s3:ReplicateTags"]
        Resource = "${module.backups_copy.arn}/*"
      },
      {
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = var.key_arn
      },
      {
        Effect   = "Allow"
        Action   = ["kms:Encrypt", "kms:GenerateDataKey"]
        Resource = var.backup_key_arn
      },
    ]
  })
}

resource "aws_s3_bucket_replication_configuration" "backups" {
  bucket = module.backups.name
  role   = aws_iam_role.replication.arn

  rule {
    id     = "everything"
    status = "Enabled"

    filter {}

    # A deletion is not copied: the copy is what is left when the original was deleted.
    delete_marker_replication {
      status = "Disabled"
    }

    source_selection_criteria {
      sse_kms_encrypted_objects {
        status = "Enabled"
      }
    }

    destination {
      bucket        = module.backups_copy.arn
      storage_class = "STANDARD_IA"

      encryption_configuration {
        replica_kms_key_id = var.backup_key_arn
      }

      metrics {
        status = "Enabled"

        event_threshold {
          minutes = 15
        }
      }

      replication_time {
        status = "Enabled"

        time {
          minutes = 15
        }
      }
    }
  }
}
