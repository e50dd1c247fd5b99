variable "name" {
  description = "What the buckets' names begin with; they end with the account."
  type        = string
}

variable "account" {
  description = "The AWS account."
  type        = string
}

variable "region" {
  description = "The AWS region."
  type        = string
}

variable "backup_region" {
  description = "The region that backups are copied to."
  type        = string
}

variable "key_arn" {
  description = "The key that backups are encrypted with."
  type        = string
}

variable "backup_key_arn" {
  description = "The key in the backup region."
  type        = string
}

variable "retention_days" {
  description = "How long backups cannot be deleted, in days; they are deleted after twice of it."
  type        = number

  validation {
    condition     = var.retention_days >= 1
    error_message = "Backups are locked for one day at least."
  }
}

variable "log_retention_days" {
  description = "How long access logs are kept, in days."
  type        = number
}

variable "distribution_arn" {
  description = "The CloudFront distribution that reads static files."
  type        = string
}
