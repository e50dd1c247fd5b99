variable "host" {
  description = "The public host name."
  type        = string
}

variable "zone_id" {
  description = "The hosted zone that the host is in."
  type        = string
}

variable "target_domain" {
  description = "CloudFront's own host name."
  type        = string
}

variable "target_zone_id" {
  description = "CloudFront's hosted zone."
  type        = string
}

variable "health_path" {
  description = "The path that says whether the environment serves."
  type        = string

  validation {
    condition     = startswith(var.health_path, "/")
    error_message = "A path begins with a slash."
  }
}
