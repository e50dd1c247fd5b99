variable "name" {
  description = "The vaults' and the plan's name."
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

variable "region" {
  description = "The AWS region."
  type        = string
}

variable "backup_region" {
  description = "The region that backups are copied to."
  type        = string

  validation {
    condition     = var.backup_region != var.region
    error_message = "A copy in the same region is lost with it."
  }
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
  description = "How long a backup is kept and cannot be deleted, in days."
  type        = number
}

variable "schedule" {
  description = "When backups begin, in UTC, as cron(30 1 * * ? *)."
  type        = string
}

variable "resource_arns" {
  description = "What is backed up."
  type        = list(string)

  validation {
    condition     = length(var.resource_arns) > 0
    error_message = "A plan that backs up nothing is of no use."
  }
}

variable "topic_arn" {
  description = "Where failures are told."
  type        = string
}
