mock_provider "aws" {}

variables {
  name                  = "renec-test"
  vpc_id                = "vpc-1"
  subnet_ids            = ["subnet-a", "subnet-b", "subnet-c"]
  pod_security_group_id = "sg-cluster"
  target_port           = 8443
  health_path           = "/health"
  certificate_arn       = "arn:aws:acm:us-east-1:123456789012:certificate/1"
  idle_timeout_seconds  = 35
  deletion_protection   = true
  logs_bucket           = "renec-test-logs"
}

run "ingress" {
  assert {
    condition     = aws_lb.this.internal
    error_message = "The load balancer is private."
  }

  assert {
    condition     = aws_lb.this.enable_deletion_protection
    error_message = "The load balancer is protected."
  }

  assert {
    condition     = aws_lb.this.drop_invalid_header_fields && aws_lb.this.desync_mitigation_mode == "strictest"
    error_message = "Requests that nginx could read otherwise are refused."
  }

  assert {
    condition     = aws_lb.this.access_logs[0].enabled
    error_message = "Requests are logged."
  }

  assert {
    condition     = aws_lb_listener.https.protocol == "HTTPS" && startswith(aws_lb_listener.https.ssl_policy, "ELBSecurityPolicy-TLS13")
    error_message = "Clients speak TLS 1.2 or 1.3."
  }

  assert {
    condition     = aws_lb_target_group.this.protocol == "HTTPS"
    error_message = "It is encrypted up to the pods."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.cloudfront.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.cloudfront.prefix_list_id == data.aws_ec2_managed_prefix_list.cloudfront.id
    error_message = "Only CloudFront may connect."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.pods.security_group_id == "sg-cluster" && aws_vpc_security_group_ingress_rule.pods.referenced_security_group_id == aws_security_group.this.id
    error_message = "Pods take connections from the load balancer."
  }
}
