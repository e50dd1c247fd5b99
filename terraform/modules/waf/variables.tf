variable "name" {
  description = "The firewall's name."
  type        = string
}

variable "rate_limit" {
  description = "Requests that one address may make in five minutes."
  type        = number

  validation {
    condition     = var.rate_limit >= 10
    error_message = "WAF counts from 10 requests on."
  }
}

variable "counted_rules" {
  description = "Rules of AWS's groups that only count instead of blocking, by group."
  type        = map(list(string))
  default     = {}
}

variable "log_retention_days" {
  description = "How long the firewall's logs are kept, in days."
  type        = number
}

variable "logs_key_arn" {
  description = "The key in us-east-1 that the firewall's logs are encrypted with."
  type        = string
}
