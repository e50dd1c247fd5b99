mock_provider "aws" {}

variables {
  name                 = "renec-test"
  account              = "123456789012"
  cluster_name         = "renec-test"
  namespace            = "renec"
  monitoring_namespace = "monitoring"
  backups_bucket_arn   = "arn:aws:s3:::renec-test-backups"
  backups_key_arn      = "arn:aws:kms:us-east-1:123456789012:key/data"
  heartbeat_namespace  = "Renec/test"
}

run "pods" {
  assert {
    condition     = jsondecode(aws_iam_role_policy.pod["heartbeat"].policy).Statement[0].Condition.StringEquals["cloudwatch:namespace"] == "Renec/test"
    error_message = "The sign of life is written to its own namespace alone."
  }

  assert {
    condition     = !anytrue([for statement in jsondecode(aws_iam_role_policy.pod["backup"].policy).Statement : anytrue([for action in flatten([statement.Action]) : strcontains(action, "Delete") || strcontains(action, "*")])])
    error_message = "What writes backups can delete none."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.pod["backup"].policy).Statement : statement.Resource != "*"])
    error_message = "What writes backups writes to their bucket alone."
  }

  assert {
    condition     = aws_eks_pod_identity_association.pod["backup"].namespace == "renec" && aws_eks_pod_identity_association.pod["heartbeat"].namespace == "monitoring"
    error_message = "Each role is for one service account."
  }
}
