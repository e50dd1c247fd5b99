variable "name" {
  description = "The bucket's name; all of AWS shares one space of names."
  type        = string
}

variable "region" {
  description = "The bucket's region."
  type        = string
}

variable "key_arn" {
  description = "The key that objects are encrypted with; null for S3's own, which some services that write logs need."
  type        = string
}

variable "noncurrent_days" {
  description = "How long overwritten and deleted objects can be brought back, in days."
  type        = number
}

variable "expire_days" {
  description = "After how many days objects are deleted; null for never."
  type        = number
  default     = null
}

variable "lock_days" {
  description = "For how many days after its upload an object can be neither overwritten nor deleted for good; 0 for no lock."
  type        = number
  default     = 0
}

variable "statements" {
  description = "AWS services that may use the bucket: what each may do, to which paths (\"\" is the bucket), under which condition."
  type = list(object({
    sid       = string
    service   = string
    actions   = list(string)
    paths     = list(string)
    condition = map(map(string))
  }))
  default = []

  validation {
    condition     = alltrue([for statement in var.statements : length(statement.condition) > 0])
    error_message = "A service acts for everybody's accounts: each statement needs a condition that names ours."
  }
}
