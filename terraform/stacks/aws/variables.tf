variable "environment" {
  description = "The environment's name; resources are named renec-ENVIRONMENT."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,17}$", var.environment))
    error_message = "An environment's name has at most 18 lower-case letters, digits and hyphens: load balancers take no longer names."
  }
}

variable "account" {
  description = "The AWS account."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "An account has 12 digits."
  }
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
    error_message = "backup_region must differ from region: one region's loss must not take both."
  }
}

variable "tags" {
  description = "Tags of every resource; the provider has them as its default."
  type        = map(string)
}

variable "redis_password" {
  description = "What clients of both caches authenticate with. Neither plan nor state has it."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "network" {
  description = "The VPC: its network, zones, NAT gateways, and services that are reached without the internet."
  type = object({
    cidr                = string
    zones               = list(string)
    nat_gateways        = number
    interface_endpoints = set(string)
  })
}

variable "cluster" {
  description = "EKS: version, nodes, who may reach and administer it, and the namespaces of the releases."
  type = object({
    kubernetes_version   = string
    api_allowed_cidrs    = list(string)
    administrators       = map(string)
    node_type            = string
    node_disk_gib        = number
    nodes_min            = number
    nodes_max            = number
    namespace            = string
    monitoring_namespace = string
  })
}

variable "database" {
  description = "RDS: size and PostgreSQL's settings."
  type = object({
    name                     = string
    version                  = number
    instance_type            = string
    replicas                 = number
    multi_az                 = bool
    storage_gib              = number
    storage_max_gib          = number
    max_connections          = number
    shared_buffers_kib       = number
    work_mem_kib             = number
    maintenance_work_mem_kib = number
  })
}

variable "cache" {
  description = "ElastiCache: the groups broker and cache, and the password's version."
  type = object({
    password_version = number
    groups = map(object({
      node_type     = string
      nodes         = number
      snapshot_days = number
    }))
  })
}

variable "edge" {
  description = "What is public: host and hosted zone, the edge's pods, timeouts and limits."
  type = object({
    host            = string
    zone_id         = string
    target_port     = number
    health_path     = string
    timeout_seconds = number
    rate_limit      = number
  })
}

variable "operations" {
  description = "Protection, backups, windows, alarms, and what a month may cost."
  type = object({
    protected               = bool
    final_snapshot          = string
    retention_days          = number
    backup_window           = string
    snapshot_window         = string
    backup_schedule         = string
    maintenance_window      = string
    log_retention_days      = number
    alarm_emails            = list(string)
    runbook_url             = string
    replication_lag_seconds = number
    monthly_usd             = number
  })
}

variable "github" {
  description = "The repository whose jobs may plan and apply, and where the state is; null for none."
  type = object({
    repository      = string
    create_provider = bool
    state_bucket    = string
    state_key       = string
    state_key_alias = string
  })
  default = null
}
