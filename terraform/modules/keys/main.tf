# One key for each purpose, so that who may read one kind of data may not read all of it. The account's own IAM
# policies decide about people and roles (first statement); AWS services are named one by one.
resource "aws_kms_key" "this" {
  for_each = var.keys

  region                  = each.value.region
  description             = "${var.name}: ${each.key}"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "AccountDecidesByIam"
        Effect    = "Allow"
        Principal = { AWS = "arn:${var.partition}:iam::${var.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      }],
      each.value.log_groups ? [{
        Sid       = "LogGroupsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "logs.${each.value.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:${var.partition}:logs:${each.value.region}:${var.account}:*"
          }
        }
      }] : [],
      # Autoscaling starts nodes with disks that are encrypted with the key, as a role that no IAM policy of ours
      # can be attached to.
      length(each.value.service_roles) > 0 ? [{
        Sid       = "ServiceLinkedRoles"
        Effect    = "Allow"
        Principal = { AWS = each.value.service_roles }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
      }] : [],
      length(each.value.service_roles) > 0 ? [{
        Sid       = "ServiceLinkedRolesAttachDisks"
        Effect    = "Allow"
        Principal = { AWS = each.value.service_roles }
        Action    = "kms:CreateGrant"
        Resource  = "*"
        Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
      }] : [],
      length(each.value.publishers) > 0 ? [{
        Sid       = "PublishersToTopics"
        Effect    = "Allow"
        Principal = { Service = each.value.publishers }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
      }] : [],
    )
  })
}

resource "aws_kms_alias" "this" {
  for_each = var.keys

  region        = each.value.region
  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
