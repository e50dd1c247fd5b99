variable "name" {
  description = "The budget's name."
  type        = string
}

variable "environment" {
  description = "The environment: what is tagged with it is counted."
  type        = string
}

variable "monthly_usd" {
  description = "What a month may cost, in US dollars."
  type        = number

  validation {
    condition     = var.monthly_usd > 0
    error_message = "A budget is more than nothing."
  }
}

variable "emails" {
  description = "Who is told."
  type        = list(string)

  validation {
    condition     = length(var.emails) > 0
    error_message = "A budget that tells nobody is of no use."
  }
}
