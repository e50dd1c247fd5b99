# The same name in two regions: CloudFront takes certificates of us-east-1 alone, a load balancer those of its own.
# Both are proven by the same DNS record.
resource "aws_acm_certificate" "this" {
  for_each = toset(["us-east-1", var.region])

  region            = each.key
  domain_name       = var.host
  validation_method = "DNS"
  key_algorithm     = "EC_prime256v1"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "proof" {
  zone_id         = var.zone_id
  name            = one(aws_acm_certificate.this[var.region].domain_validation_options).resource_record_name
  type            = one(aws_acm_certificate.this[var.region].domain_validation_options).resource_record_type
  records         = [one(aws_acm_certificate.this[var.region].domain_validation_options).resource_record_value]
  ttl             = 60
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  for_each = aws_acm_certificate.this

  region                  = each.key
  certificate_arn         = each.value.arn
  validation_record_fqdns = [aws_route53_record.proof.fqdn]
}
