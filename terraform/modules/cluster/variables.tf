variable "name" {
  description = "The cluster's name."
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

variable "kubernetes_version" {
  description = "Kubernetes' version. It goes up by one minor version at a time, and never down."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the control plane's interfaces and of the nodes, one a zone."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "EKS needs subnets in two zones at least."
  }
}

variable "api_allowed_cidrs" {
  description = "Networks that may reach the cluster's API over the internet; with none it is private."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.api_allowed_cidrs : can(cidrnetmask(cidr)) && tonumber(split("/", cidr)[1]) >= 16])
    error_message = "The API is opened to named networks of /16 or smaller, never to everybody."
  }
}

variable "administrators" {
  description = "ARNs of IAM roles that may do everything in the cluster, by a name of your own."
  type        = map(string)

  validation {
    condition     = length(var.administrators) > 0
    error_message = "Without an administrator nobody could deploy to the cluster."
  }
}

variable "viewers" {
  description = "ARNs of IAM roles that may read everything but secrets, by a name of your own."
  type        = map(string)
  default     = {}
}

variable "node_type" {
  description = "The nodes' instance type; the image's architecture follows from it."
  type        = string
}

variable "node_disk_gib" {
  description = "Size of a node's root volume, in GiB."
  type        = number
}

variable "nodes_min" {
  description = "The fewest nodes, and how many there are at first."
  type        = number
}

variable "nodes_max" {
  description = "The most nodes that the autoscaler makes."
  type        = number

  validation {
    condition     = var.nodes_max >= var.nodes_min
    error_message = "nodes_max must be at least nodes_min."
  }
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the cluster."
  type        = bool
}

variable "log_retention_days" {
  description = "How long the control plane's logs are kept, in days."
  type        = number
}

variable "logs_key_arn" {
  description = "The key that log groups are encrypted with."
  type        = string
}

variable "secrets_key_arn" {
  description = "The key that Kubernetes' secrets are encrypted with before they are stored."
  type        = string
}

variable "data_key_arn" {
  description = "The key that volumes are encrypted with."
  type        = string
}

variable "tags" {
  description = "Tags of instances and volumes, which the provider's default tags do not reach."
  type        = map(string)
}
