variable "name" {
  description = "The primary's identifier."
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

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one a zone."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "RDS needs subnets in two zones at least."
  }
}

variable "client_security_group_id" {
  description = "The security group that may connect: that of the cluster."
  type        = string
}

variable "engine_version" {
  description = "PostgreSQL's major version."
  type        = number
}

variable "instance_type" {
  description = "The RDS instance class of the primary and its replicas."
  type        = string
}

variable "replicas" {
  description = "Read replicas."
  type        = number
}

variable "multi_az" {
  description = "Whether a standby in another zone takes over when the primary fails."
  type        = bool
}

variable "database_name" {
  description = "The application's database."
  type        = string
}

variable "storage_gib" {
  description = "Storage at first, in GiB."
  type        = number

  validation {
    condition     = var.storage_gib >= 20
    error_message = "gp3 storage begins at 20 GiB."
  }
}

variable "storage_max_gib" {
  description = "How far storage grows by itself, in GiB."
  type        = number

  validation {
    condition     = var.storage_max_gib >= var.storage_gib * 1.26
    error_message = "Storage that grows by itself needs a limit at least 26 % above its size."
  }
}

variable "max_connections" {
  description = "Connections that PostgreSQL accepts in all."
  type        = number
}

variable "shared_buffers_kib" {
  description = "PostgreSQL's own cache, in KiB."
  type        = number
}

variable "work_mem_kib" {
  description = "Memory of one sort or hash, in KiB."
  type        = number
}

variable "maintenance_work_mem_kib" {
  description = "Memory of vacuum and index builds, in KiB."
  type        = number
}

variable "retention_days" {
  description = "How far back the database can be restored to any second, in days; RDS keeps at most 35."
  type        = number

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 35
    error_message = "Backups are kept for 1 to 35 days: 0 would turn them off."
  }
}

variable "backup_window" {
  description = "When the daily snapshot is taken, in UTC, as 01:30-02:00."
  type        = string
}

variable "maintenance_window" {
  description = "When minor versions are installed, in UTC, as sun:05:00-sun:06:00."
  type        = string
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the instances."
  type        = bool
}

variable "backup_region" {
  description = "The region that backups are copied to."
  type        = string
}

variable "key_arn" {
  description = "The key that storage, insights and the administrator's secret are encrypted with."
  type        = string
}

variable "backup_key_arn" {
  description = "The key in the backup region."
  type        = string
}

variable "log_retention_days" {
  description = "How long PostgreSQL's logs are kept, in days."
  type        = number
}

variable "logs_key_arn" {
  description = "The key that log groups are encrypted with."
  type        = string
}

variable "topic_arn" {
  description = "Where the instances' events are told."
  type        = string
}

variable "final_snapshot" {
  description = "What ends the name of the snapshot that is taken when the environment is taken down."
  type        = string
}
