resource "aws_route53_record" "this" {
  for_each = toset(["A", "AAAA"])

  zone_id = var.zone_id
  name    = var.host
  type    = each.key

  alias {
    name                   = var.target_domain
    zone_id                = var.target_zone_id
    evaluate_target_health = false
  }
}

# Asked from outside, over TLS, as a user would: it sees what nothing inside of the account can see.
resource "aws_route53_health_check" "this" {
  fqdn              = var.host
  type              = "HTTPS"
  port              = 443
  resource_path     = var.health_path
  enable_sni        = true
  request_interval  = 30
  failure_threshold = 3
  measure_latency   = true

  tags = { Name = var.host }
}
