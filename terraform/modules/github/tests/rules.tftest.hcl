mock_provider "aws" {}

variables {
  name             = "renec-test"
  account          = "123456789012"
  partition        = "aws"
  environment      = "test"
  repository       = "madfam-io/renecinfra"
  create_provider  = true
  state_bucket_arn = "arn:aws:s3:::renec-test-terraform-state"
  state_key        = "renec/test.tfstate"
  state_key_alias  = "alias/renec-test-terraform"
}

run "roles" {
  assert {
    condition     = jsondecode(aws_iam_role.this["apply"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:madfam-io/renecinfra:environment:test"]
    error_message = "Only jobs of the protected environment apply."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.this : jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"])
    error_message = "A token that was made for another audience is worth nothing."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.this : alltrue([for subject in jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] : !strcontains(subject, "*")])])
    error_message = "Every job that may log in is named."
  }

  assert {
    condition     = endswith(aws_iam_role_policy_attachment.plan.policy_arn, "/ReadOnlyAccess")
    error_message = "A plan reads."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.plan.policy).Statement[0].Effect == "Deny" && contains(jsondecode(aws_iam_role_policy.plan.policy).Statement[0].Action, "secretsmanager:GetSecretValue")
    error_message = "A plan reads no data."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.plan.policy).Statement[2].Condition["ForAnyValue:StringEquals"]["kms:ResourceAliases"] == "alias/renec-test-terraform"
    error_message = "A plan decrypts the state alone."
  }

  assert {
    condition     = contains(jsondecode(aws_iam_role_policy.apply.policy).Statement[1].Action, "s3:BypassGovernanceRetention") && jsondecode(aws_iam_role_policy.apply.policy).Statement[1].Effect == "Deny"
    error_message = "No job ends backups."
  }
}

run "an_account_that_knows_github" {
  variables {
    create_provider = false
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && jsondecode(aws_iam_role.this["plan"].assume_role_policy).Statement[0].Principal.Federated == "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    error_message = "The account's own provider is used."
  }
}

run "a_star_is_refused" {
  command = plan

  variables {
    repository = "madfam-io/*"
  }

  expect_failures = [var.repository]
}
