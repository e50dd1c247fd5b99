# GitHub's jobs log in with a token that GitHub signs: there is no key to steal. A job of any branch may plan, which
# reads; only a job of the protected environment may apply.
locals {
  issuer   = "token.actions.githubusercontent.com"
  provider = var.create_provider ? aws_iam_openid_connect_provider.github[0].arn : "arn:${var.partition}:iam::${var.account}:oidc-provider/${local.issuer}"

  subjects = {
    plan  = ["repo:${var.repository}:pull_request", "repo:${var.repository}:ref:refs/heads/main"]
    apply = ["repo:${var.repository}:environment:${var.environment}"]
  }
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.create_provider ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "this" {
  for_each = local.subjects

  name                 = "${var.name}-github-${each.key}"
  max_session_duration = each.key == "apply" ? 7200 : 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local.provider }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = each.value
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.this["plan"].name
  policy_arn = "arn:${var.partition}:iam::aws:policy/ReadOnlyAccess"
}

# ReadOnlyAccess reads objects and secrets too: a pull request of anybody must not.
resource "aws_iam_role_policy" "plan" {
  name = "state-and-no-data"
  role = aws_iam_role.this["plan"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid         = "NoData"
        Effect      = "Deny"
        Action      = ["s3:GetObject*", "secretsmanager:GetSecretValue", "ssm:GetParameter*", "logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery"]
        NotResource = ["${var.state_bucket_arn}/${var.state_key}", "${var.state_bucket_arn}/${var.state_key}.tflock"]
      },
      {
        Sid      = "LockState"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:DeleteObject"]
        Resource = "${var.state_bucket_arn}/${var.state_key}.tflock"
      },
      {
        Sid      = "ReadState"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = "arn:${var.partition}:kms:*:${var.account}:key/*"
        Condition = {
          "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = var.state_key_alias }
        }
      },
    ]
  })
}

# It makes roles and networks, so that a list of single actions would be as good as everything; what it can never do
# is listed instead, and holds whatever else it is given.
resource "aws_iam_role_policy_attachment" "apply" {
  role       = aws_iam_role.this["apply"].name
  policy_arn = "arn:${var.partition}:iam::aws:policy/AdministratorAccess"
}

resource "aws_iam_role_policy" "apply" {
  name = "never"
  role = aws_iam_role.this["apply"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "NoUsersAndNoAccount"
        Effect = "Deny"
        Action = [
          "iam:CreateUser", "iam:CreateAccessKey", "iam:CreateLoginProfile", "organizations:*", "account:*",
        ]
        Resource = "*"
      },
      {
        Sid    = "NoEndOfBackups"
        Effect = "Deny"
        Action = [
          "s3:BypassGovernanceRetention", "backup:DeleteBackupVault", "backup:DeleteRecoveryPoint",
          "backup:DeleteBackupVaultLockConfiguration", "rds:DeleteDBInstanceAutomatedBackup", "rds:DeleteDBSnapshot",
        ]
        Resource = "*"
      },
      {
        Sid      = "NoEndOfState"
        Effect   = "Deny"
        Action   = ["s3:DeleteBucket", "s3:DeleteObjectVersion", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"]
        Resource = [var.state_bucket_arn, "${var.state_bucket_arn}/*"]
      },
    ]
  })
}
