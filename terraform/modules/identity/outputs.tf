output "pod_role_arns" {
  description = "Roles of the application's pods, by service account."
  value       = { for name, role in aws_iam_role.pod : name => role.arn }
}
