output "plan_role_arn" {
  description = "The role of jobs that plan."
  value       = aws_iam_role.this["plan"].arn
}

output "apply_role_arn" {
  description = "The role of jobs that apply."
  value       = aws_iam_role.this["apply"].arn
}
