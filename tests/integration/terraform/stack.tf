variable "log" {
  type = string
}

variable "generation" {
  type    = string
  default = "1"
}

variable "password" {
  type      = string
  sensitive = true
  default   = "hunter2hunter2"
}

# What the service does when it starts: "ok", "fail", or "wait" (until it is ended).
variable "start" {
  type    = string
  default = "ok"
}

resource "terraform_data" "service" {
  for_each         = toset(["api", "worker"])
  input            = { password = var.password }
  triggers_replace = [var.generation]

  provisioner "local-exec" {
    command = each.key == "api" ? "${path.module}/start.sh ${var.start} ${var.log}" : "echo worker"
  }
}

output "password" {
  value     = var.password
  sensitive = true
}

output "generation" {
  value = var.generation
}
