mock_provider "aws" {}

variables {
  name      = "renec-test"
  account   = "123456789012"
  partition = "aws"
  keys = {
    data = { region = "us-east-1" }
    disk = { region = "us-east-1", service_roles = ["arn:aws:iam::123456789012:role/autoscaling"] }
    logs = { region = "us-east-1", log_groups = true, publishers = ["cloudwatch.amazonaws.com"] }
    copy = { region = "us-west-2" }
  }
}

run "keys" {
  assert {
    condition     = alltrue([for key in aws_kms_key.this : key.enable_key_rotation])
    error_message = "Keys rotate."
  }

  assert {
    condition     = alltrue([for key in aws_kms_key.this : key.deletion_window_in_days == 30])
    error_message = "A deleted key can be brought back for 30 days."
  }

  assert {
    condition     = aws_kms_key.this["copy"].region == "us-west-2"
    error_message = "A key is made in its own region."
  }

  assert {
    condition     = length(jsondecode(aws_kms_key.this["data"].policy).Statement) == 1
    error_message = "No AWS service may use a key that is not meant for it."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_kms_key.this["logs"].policy).Statement :
      statement.Principal != "*" && try(statement.Principal.AWS, "") != "*"
    ])
    error_message = "No key is open to everybody."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this["logs"].policy).Statement[1].Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:us-east-1:123456789012:*"
    error_message = "Log groups of other accounts may not use the key."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this["disk"].policy).Statement[2].Condition.Bool["kms:GrantIsForAWSResource"] == "true"
    error_message = "A service-linked role hands the key on to AWS services alone."
  }
}
