variable "name" {
  description = "What the roles' names begin with."
  type        = string
}

variable "account" {
  description = "The AWS account."
  type        = string
}

variable "cluster_name" {
  description = "The cluster whose pods take the roles."
  type        = string
}

variable "namespace" {
  description = "The namespace of the application's releases."
  type        = string
}

variable "monitoring_namespace" {
  description = "The namespace of the monitoring's releases."
  type        = string
}

variable "backups_bucket_arn" {
  description = "The bucket that backups are written to."
  type        = string
}

variable "backups_key_arn" {
  description = "The key that they are encrypted with."
  type        = string
}

variable "heartbeat_namespace" {
  description = "The CloudWatch namespace that the monitoring's sign of life is written to."
  type        = string
}
