variable "name" {
  description = "What the aliases begin with."
  type        = string
}

variable "account" {
  description = "The AWS account."
  type        = string
}

variable "partition" {
  description = "The AWS partition."
  type        = string
}

variable "keys" {
  description = "Keys by purpose: the region of each, whether log groups use it, the services that publish to topics encrypted with it, and the service-linked roles that start machines with disks encrypted with it."
  type = map(object({
    region        = string
    log_groups    = optional(bool, false)
    publishers    = optional(list(string), [])
    service_roles = optional(list(string), [])
  }))

  validation {
    condition     = length(var.keys) > 0
    error_message = "At least one key is needed."
  }
}
