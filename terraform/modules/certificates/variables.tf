variable "host" {
  description = "The public host name."
  type        = string
}

variable "zone_id" {
  description = "The hosted zone that the host is in."
  type        = string
}

variable "region" {
  description = "The load balancer's region."
  type        = string
}
