mock_provider "aws" {}

variables {
  host           = "renec.example.org"
  zone_id        = "Z0000000000EXAMPLE"
  target_domain  = "d111111abcdef8.cloudfront.net"
  target_zone_id = "Z2FDTNDATAQYW2"
  health_path    = "/health"
}

run "dns" {
  assert {
    condition     = join(" ", keys(aws_route53_record.this)) == "A AAAA" && alltrue([for record in aws_route53_record.this : record.alias[0].name == var.target_domain])
    error_message = "The host leads to CloudFront, by IPv4 and IPv6."
  }

  assert {
    condition     = aws_route53_health_check.this.type == "HTTPS" && aws_route53_health_check.this.enable_sni && aws_route53_health_check.this.fqdn == var.host
    error_message = "The environment is looked at from outside, over TLS."
  }
}

run "a_path_without_a_slash_is_refused" {
  command = plan

  variables {
    health_path = "health"
  }

  expect_failures = [var.health_path]
}
