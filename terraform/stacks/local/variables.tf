variable "home" {
  description = "Absolute path of the environment's home, into which services' files were installed."
  type        = string

  validation {
    condition     = startswith(var.home, "/")
    error_message = "home must be an absolute path."
  }
}

variable "python" {
  description = "Absolute path of the interpreter that runs the supervisor and the control command."
  type        = string

  validation {
    condition     = startswith(var.python, "/")
    error_message = "python must be an absolute path."
  }
}

variable "supervisor" {
  description = "Identifier of the supervisor's configuration; a new one replaces the supervisor and, with it, every service."
  type        = string
}

variable "services" {
  description = "Services by name: the layer that each starts in, and a hash of all whose change asks for a restart."
  type = map(object({
    layer  = string
    digest = string
  }))

  validation {
    condition = alltrue([
      for service in values(var.services) :
      contains(["secrets", "foundation", "replication", "database", "migration", "workload", "edge"], service.layer)
    ])
    error_message = "A service's layer is one of secrets, foundation, replication, database, migration, workload, edge."
  }
}
