output "regional_arn" {
  description = "The certificate in the environment's region, once it is valid."
  value       = aws_acm_certificate_validation.this[var.region].certificate_arn
}

output "cdn_arn" {
  description = "The certificate in us-east-1, once it is valid."
  value       = aws_acm_certificate_validation.this["us-east-1"].certificate_arn
}

output "arns" {
  description = "The certificates' ARNs by region."
  value       = { for region, certificate in aws_acm_certificate.this : region => certificate.arn }
}
