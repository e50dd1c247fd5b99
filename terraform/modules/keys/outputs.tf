output "arns" {
  description = "The keys' ARNs by purpose."
  value       = { for name, key in aws_kms_key.this : name => key.arn }
}
