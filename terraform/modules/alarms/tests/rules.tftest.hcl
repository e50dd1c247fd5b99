mock_provider "aws" {}

variables {
  name                    = "renec-test"
  environment             = "test"
  account                 = "123456789012"
  region                  = "eu-west-1"
  emails                  = ["pager@example.org"]
  runbook_url             = "https://example.org/runbooks"
  key_arn                 = "arn:aws:kms:eu-west-1:123456789012:key/logs"
  edge_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/edge"
  databases               = ["renec-test", "renec-test-replica-1"]
  max_connections         = 200
  replication_lag_seconds = 30
  cache_nodes             = { broker = ["renec-test-broker-001"], cache = ["renec-test-cache-001"] }
  load_balancer           = "app/renec-test/1"
  target_group            = "targetgroup/renec-test/1"
  nat_gateways            = { eu-west-1a = "nat-1" }
  health_check_id         = "check-1"
  heartbeat_namespace     = "Renec/test"
}

run "alarms" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["renec-test-monitoring"].treat_missing_data == "breaching"
    error_message = "Silence of the monitoring is an alarm."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.public.treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.public.region == "us-east-1"
    error_message = "The environment is looked at from outside, where health checks tell of it."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.alarm_actions) == 1]) && length(aws_cloudwatch_metric_alarm.public.alarm_actions) == 1
    error_message = "Every alarm tells somebody."
  }

  assert {
    condition     = length(aws_sns_topic_subscription.this) == 2
    error_message = "People are subscribed to both topics."
  }

  assert {
    condition     = aws_sns_topic.this["here"].kms_master_key_id == var.key_arn && aws_sns_topic.this["edge"].kms_master_key_id == var.edge_key_arn
    error_message = "Topics are encrypted with our keys."
  }

  assert {
    condition     = alltrue([for policy in aws_sns_topic_policy.this : alltrue([for statement in jsondecode(policy.policy).Statement : statement.Condition.StringEquals["aws:SourceAccount"] == var.account])])
    error_message = "Other accounts' alarms do not wake ours."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["renec-test-connections"].threshold == 180
    error_message = "Thresholds follow from the profile."
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.this), "renec-test-replica-1-lag") && !contains(keys(aws_cloudwatch_metric_alarm.this), "renec-test-lag")
    error_message = "Replicas are watched for their lag."
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.this), "renec-test-broker-001-memory") && !contains(keys(aws_cloudwatch_metric_alarm.this), "renec-test-cache-001-memory")
    error_message = "A full broker is an alarm; a full cache is how it is meant to be."
  }
}

run "nobody_told_is_refused" {
  command = plan

  variables {
    emails = []
  }

  expect_failures = [var.emails]
}
