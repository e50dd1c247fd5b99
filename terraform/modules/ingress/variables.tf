variable "name" {
  description = "What the load balancer's name begins with."
  type        = string

  validation {
    condition     = length(var.name) <= 24
    error_message = "A load balancer's name takes 32 characters, of which 8 are for its own end."
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

variable "pod_security_group_id" {
  description = "The security group of the edge's pods."
  type        = string
}

variable "target_port" {
  description = "The port of the edge's pods, on which they serve HTTPS."
  type        = number
}

variable "health_path" {
  description = "The path by which a pod says that it serves."
  type        = string
}

variable "certificate_arn" {
  description = "The certificate of the public host name, in this region."
  type        = string
}

variable "idle_timeout_seconds" {
  description = "How long a connection may wait, and a pod that goes away may finish; above the edge's own timeout."
  type        = number
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the load balancer."
  type        = bool
}

variable "logs_bucket" {
  description = "The bucket of access logs."
  type        = string
}
