output "arn" {
  description = "The firewall, for CloudFront."
  value       = aws_wafv2_web_acl.this.arn
}

output "name" {
  description = "The firewall's name, as CloudWatch has it."
  value       = aws_wafv2_web_acl.this.name
}
