mock_provider "aws" {
  mock_resource "aws_acm_certificate" {
    defaults = {
      domain_validation_options = [{
        domain_name           = "renec.example.org"
        resource_record_name  = "_proof.renec.example.org"
        resource_record_type  = "CNAME"
        resource_record_value = "_value.acm-validations.aws"
      }]
    }
  }
}

variables {
  host    = "renec.example.org"
  zone_id = "Z0000000000EXAMPLE"
  region  = "eu-west-1"
}

run "two_regions" {
  assert {
    condition     = join(" ", keys(aws_acm_certificate.this)) == "eu-west-1 us-east-1"
    error_message = "CloudFront and the load balancer have one each."
  }

  assert {
    condition     = alltrue([for certificate in aws_acm_certificate.this : certificate.validation_method == "DNS"])
    error_message = "They renew themselves."
  }

  assert {
    condition     = aws_route53_record.proof.name == "_proof.renec.example.org" && aws_route53_record.proof.zone_id == var.zone_id
    error_message = "The proof is in the host's zone."
  }
}

run "one_region" {
  variables {
    region = "us-east-1"
  }

  assert {
    condition     = length(aws_acm_certificate.this) == 1
    error_message = "One certificate serves both where the region is CloudFront's."
  }
}
