variable "name" {
  description = "What the resources' names begin with."
  type        = string
}

variable "host" {
  description = "The public host name."
  type        = string
}

variable "certificate_arn" {
  description = "The host's certificate in us-east-1."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:acm:us-east-1:", var.certificate_arn))
    error_message = "CloudFront takes certificates of us-east-1 alone."
  }
}

variable "web_acl_arn" {
  description = "The firewall in front."
  type        = string
}

variable "load_balancer_arn" {
  description = "The internal load balancer that requests go to."
  type        = string
}

variable "load_balancer_domain" {
  description = "The load balancer's host name."
  type        = string
}

variable "origin_timeout_seconds" {
  description = "How long CloudFront waits for an answer; above the edge's own timeout, which is the one that should count."
  type        = number

  validation {
    condition     = var.origin_timeout_seconds >= 1 && var.origin_timeout_seconds <= 120
    error_message = "CloudFront waits between 1 and 120 seconds."
  }
}

variable "assets_domain" {
  description = "Host name of the bucket of static files."
  type        = string
}

variable "logs_bucket_arn" {
  description = "The bucket of access logs."
  type        = string
}

variable "price_class" {
  description = "From where CloudFront serves: PriceClass_100 is North America and Europe."
  type        = string
  default     = "PriceClass_100"
}
