variable "name" {
  description = "What the roles' names begin with."
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

variable "environment" {
  description = "The GitHub environment whose jobs may apply; its reviewers are who decides."
  type        = string
}

variable "repository" {
  description = "The repository whose jobs may log in, as OWNER/NAME."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.repository))
    error_message = "One repository is named, as OWNER/NAME: a star would let others' jobs in."
  }
}

variable "create_provider" {
  description = "Whether GitHub is made known to the account here; an account knows it once, for all environments."
  type        = bool
}

variable "state_bucket_arn" {
  description = "The bucket of Terraform's state."
  type        = string
}

variable "state_key" {
  description = "The state's key in the bucket."
  type        = string
}

variable "state_key_alias" {
  description = "Alias of the KMS key that the state is encrypted with, as alias/NAME."
  type        = string
}
