output "health_check_id" {
  description = "The health check, as CloudWatch names it."
  value       = aws_route53_health_check.this.id
}
