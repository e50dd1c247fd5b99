output "domain" {
  description = "CloudFront's own host name."
  value       = aws_cloudfront_distribution.this.domain_name
}

output "zone_id" {
  description = "CloudFront's hosted zone, for alias records."
  value       = aws_cloudfront_distribution.this.hosted_zone_id
}

output "distribution_id" {
  description = "The distribution, for invalidations."
  value       = aws_cloudfront_distribution.this.id
}

output "arn" {
  description = "The distribution's ARN."
  value       = aws_cloudfront_distribution.this.arn
}
