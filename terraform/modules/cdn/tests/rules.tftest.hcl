mock_provider "aws" {}

variables {
  name                   = "renec-test"
  host                   = "renec.example.org"
  certificate_arn        = "arn:aws:acm:us-east-1:123456789012:certificate/1"
  web_acl_arn            = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/renec-test/1"
  load_balancer_arn      = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/renec-test/1"
  load_balancer_domain   = "internal-renec-test.us-east-1.elb.amazonaws.com"
  origin_timeout_seconds = 35
  assets_domain          = "renec-test-assets.s3.us-east-1.amazonaws.com"
  logs_bucket_arn        = "arn:aws:s3:::renec-test-logs"
}

run "cdn" {
  assert {
    condition     = alltrue([for behaviour in concat(aws_cloudfront_distribution.this.default_cache_behavior, aws_cloudfront_distribution.this.ordered_cache_behavior) : behaviour.viewer_protocol_policy == "redirect-to-https"])
    error_message = "Clients speak TLS."
  }

  assert {
    condition     = aws_cloudfront_distribution.this.viewer_certificate[0].minimum_protocol_version == "TLSv1.2_2021"
    error_message = "Clients speak TLS 1.2 or later."
  }

  assert {
    condition     = aws_cloudfront_vpc_origin.this.vpc_origin_endpoint_config[0].origin_protocol_policy == "https-only"
    error_message = "CloudFront speaks TLS to the load balancer."
  }

  assert {
    condition     = aws_cloudfront_distribution.this.web_acl_id == var.web_acl_arn
    error_message = "The firewall is in front."
  }

  assert {
    condition     = aws_cloudfront_distribution.this.default_cache_behavior[0].cache_policy_id == local.caching_disabled
    error_message = "Answers of the API are never kept by CloudFront."
  }

  assert {
    condition     = alltrue([for behaviour in concat(aws_cloudfront_distribution.this.default_cache_behavior, aws_cloudfront_distribution.this.ordered_cache_behavior) : behaviour.compress && behaviour.response_headers_policy_id == aws_cloudfront_response_headers_policy.this.id])
    error_message = "Answers are compressed and have the security headers."
  }

  assert {
    condition     = aws_cloudfront_response_headers_policy.this.security_headers_config[0].strict_transport_security[0].access_control_max_age_sec >= 31536000
    error_message = "Browsers keep to TLS for a year at least."
  }

  assert {
    condition     = aws_cloudfront_origin_access_control.assets.signing_behavior == "always"
    error_message = "CloudFront signs what it asks of the bucket."
  }

  assert {
    condition     = aws_cloudwatch_log_delivery_source.this.resource_arn == aws_cloudfront_distribution.this.arn
    error_message = "Requests are logged."
  }
}

run "a_certificate_of_another_region_is_refused" {
  command = plan

  variables {
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/1"
  }

  expect_failures = [var.certificate_arn]
}
