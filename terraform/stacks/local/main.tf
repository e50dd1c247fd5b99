# One resource per service. Services of a layer start side by side, after the layer that theirs depends on is
# healthy, and stop in the other order. Each is replaced when its digest changes, and all are when the supervisor is, because
# they are its children. Secrets are in files that the digests know by version: none passes through here.
#
# The provisioners' interpreter is the control command itself and no shell, so that no character in a path
# means anything. A destroy-time provisioner may only refer to its own resource: hence the input.

locals {
  control = "${var.home}/lib/renecinfra/agents/control.py"

  layers = {
    for layer in ["secrets", "foundation", "replication", "database", "migration", "workload", "edge"] :
    layer => { for name, service in var.services : name => service.digest if service.layer == layer }
  }
}

resource "terraform_data" "supervisor" {
  triggers_replace = [var.supervisor, var.home]

  input = {
    python  = var.python
    control = local.control
    home    = var.home
  }

  provisioner "local-exec" {
    command     = "up"
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home]
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "down"
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home]
  }
}

resource "terraform_data" "secrets" {
  for_each         = local.layers.secrets
  triggers_replace = [each.value, terraform_data.supervisor.id]

  input = {
    python  = var.python
    control = local.control
    home    = var.home
    name    = each.key
  }

  provisioner "local-exec" {
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "start"]
  }

  provisioner "local-exec" {
    when        = destroy
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "stop"]
  }
}

resource "terraform_data" "foundation" {
  for_each         = local.layers.foundation
  triggers_replace = [each.value, terraform_data.supervisor.id]

  input = {
    python  = var.python
    control = local.control
    home    = var.home
    name    = each.key
  }

  provisioner "local-exec" {
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "start"]
  }

  provisioner "local-exec" {
    when        = destroy
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "stop"]
  }

  depends_on = [terraform_data.secrets]
}

# Nothing waits for it: the application starts while the replica is still being copied.
resource "terraform_data" "replication" {
  for_each         = local.layers.replication
  triggers_replace = [each.value, terraform_data.supervisor.id]

  input = {
    python  = var.python
    control = local.control
    home    = var.home
    name    = each.key
  }

  provisioner "local-exec" {
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "start"]
  }

  provisioner "local-exec" {
    when        = destroy
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "stop"]
  }

  depends_on = [terraform_data.foundation]
}

resource "terraform_data" "database" {
  for_each         = local.layers.database
  triggers_replace = [each.value, terraform_data.supervisor.id]

  input = {
    python  = var.python
    control = local.control
    home    = var.home
    name    = each.key
  }

  provisioner "local-exec" {
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "start"]
  }

  provisioner "local-exec" {
    when        = destroy
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "stop"]
  }

  depends_on = [terraform_data.foundation]
}

resource "terraform_data" "migration" {
  for_each         = local.layers.migration
  triggers_replace = [each.value, terraform_data.supervisor.id]

  input = {
    python  = var.python
    control = local.control
    home    = var.home
    name    = each.key
  }

  provisioner "local-exec" {
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "start"]
  }

  provisioner "local-exec" {
    when        = destroy
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "stop"]
  }

  depends_on = [terraform_data.database]
}

resource "terraform_data" "workload" {
  for_each         = local.layers.workload
  triggers_replace = [each.value, terraform_data.supervisor.id]

  input = {
    python  = var.python
    control = local.control
    home    = var.home
    name    = each.key
  }

  provisioner "local-exec" {
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "start"]
  }

  provisioner "local-exec" {
    when        = destroy
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "stop"]
  }

  depends_on = [terraform_data.migration]
}

resource "terraform_data" "edge" {
  for_each         = local.layers.edge
  triggers_replace = [each.value, terraform_data.supervisor.id]

  input = {
    python  = var.python
    control = local.control
    home    = var.home
    name    = each.key
  }

  provisioner "local-exec" {
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "start"]
  }

  provisioner "local-exec" {
    when        = destroy
    command     = self.input.name
    interpreter = [self.input.python, "-I", "-S", self.input.control, "--home", self.input.home, "stop"]
  }

  depends_on = [terraform_data.workload]
}
