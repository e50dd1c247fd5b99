mock_provider "aws" {}

variables {
  name               = "renec-test"
  rate_limit         = 2000
  counted_rules      = { AWSManagedRulesCommonRuleSet = ["SizeRestrictions_BODY"] }
  log_retention_days = 30
  logs_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/edge"
}

run "waf" {
  assert {
    condition     = aws_wafv2_web_acl.this.scope == "CLOUDFRONT" && aws_wafv2_web_acl.this.region == "us-east-1"
    error_message = "CloudFront takes firewalls of us-east-1 alone."
  }

  assert {
    condition     = length([for rule in aws_wafv2_web_acl.this.rule : rule if try(length(rule.action[0].block) == 1 && rule.statement[0].rate_based_statement[0].limit == 2000, false)]) == 1
    error_message = "One address cannot take all of the capacity."
  }

  assert {
    condition     = length([for rule in aws_wafv2_web_acl.this.rule : rule if try(rule.statement[0].managed_rule_group_statement[0].vendor_name == "AWS" && length(rule.override_action[0].none) == 1, false)]) == 4
    error_message = "AWS's rules block, and do not only count."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == var.logs_key_arn && startswith(aws_cloudwatch_log_group.this.name, "aws-waf-logs-")
    error_message = "What was blocked is logged, encrypted with our key."
  }

  assert {
    condition     = length(setsubtract(["authorization", "cookie", "x-api-key"], [for field in aws_wafv2_web_acl_logging_configuration.this.redacted_fields : one(field.single_header).name])) == 0
    error_message = "Logs hold no credentials."
  }
}
