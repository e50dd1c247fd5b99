mock_provider "aws" {}

variables {
  name        = "renec-test"
  environment = "test"
  monthly_usd = 1500
  emails      = ["team@example.org"]
}

run "budget" {
  assert {
    condition     = aws_budgets_budget.this.limit_amount == "1500" && aws_budgets_budget.this.time_unit == "MONTHLY"
    error_message = "The budget is the profile's."
  }

  assert {
    condition     = join(" ", sort([for told in aws_budgets_budget.this.notification : told.notification_type])) == "ACTUAL FORECASTED" && alltrue([for told in aws_budgets_budget.this.notification : contains(told.subscriber_email_addresses, "team@example.org")])
    error_message = "People are told before and when it is spent."
  }

  assert {
    condition     = contains(one(aws_budgets_budget.this.cost_filter).values, "user:Environment$test")
    error_message = "The environment alone is counted."
  }
}

run "nobody_told_is_refused" {
  command = plan

  variables {
    emails = []
  }

  expect_failures = [var.emails]
}
