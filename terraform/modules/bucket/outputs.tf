output "name" {
  description = "The bucket, once everything about it is set."
  value       = aws_s3_bucket.this.bucket
  depends_on  = [aws_s3_bucket_policy.this, aws_s3_bucket_versioning.this, aws_s3_bucket_ownership_controls.this]
}

output "arn" {
  description = "The bucket's ARN."
  value       = aws_s3_bucket.this.arn
}

output "regional_domain_name" {
  description = "The host name that CloudFront fetches from."
  value       = aws_s3_bucket.this.bucket_regional_domain_name
}

output "policy" {
  description = "Who may do what with it, as JSON."
  value       = aws_s3_bucket_policy.this.policy
}
