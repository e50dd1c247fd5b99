variable "name" {
  description = "What the groups' names begin with."
  type        = string

  validation {
    condition     = length(var.name) <= 33
    error_message = "ElastiCache takes 40 characters, of which 7 are for the group's own name."
  }
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one a zone."
  type        = list(string)
}

variable "client_security_group_id" {
  description = "The security group that may connect: that of the cluster."
  type        = string
}

variable "groups" {
  description = "The two groups: node type, nodes (primary and replicas), and for how many days snapshots are kept."
  type = map(object({
    node_type     = string
    nodes         = number
    snapshot_days = number
  }))

  validation {
    condition     = join(" ", sort(keys(var.groups))) == "broker cache"
    error_message = "There are two groups: broker and cache."
  }

  validation {
    condition     = try(var.groups["broker"].snapshot_days, 0) > 0
    error_message = "The broker's jobs are snapshotted."
  }
}

variable "password" {
  description = "What clients authenticate with: 16 to 128 printable characters without / \" @ or space."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = can(regex("^[!-~]{16,128}$", var.password)) && !can(regex("[/\"@]", var.password))
    error_message = "ElastiCache takes a password of 16 to 128 printable characters without / \" @ or space."
  }
}

variable "password_version" {
  description = "The password's version; a new one makes the groups take the password."
  type        = number
}

variable "backup_window" {
  description = "When snapshots are taken, in UTC, as 01:30-02:30."
  type        = string
}

variable "maintenance_window" {
  description = "When minor versions are installed, in UTC, as sun:05:00-sun:06:00."
  type        = string
}

variable "key_arn" {
  description = "The key that data is encrypted with."
  type        = string
}

variable "log_retention_days" {
  description = "How long slow logs are kept, in days."
  type        = number
}

variable "logs_key_arn" {
  description = "The key that log groups are encrypted with."
  type        = string
}

variable "topic_arn" {
  description = "Where the groups' events are told."
  type        = string
}

variable "final_snapshot" {
  description = "What ends the name of the snapshot that is taken when the environment is taken down."
  type        = string
}
