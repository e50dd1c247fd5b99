# `terraform test` (1.6 or later) plans only: nothing is started.

variables {
  home       = "/srv/an environment"
  python     = "/usr/bin/python3"
  supervisor = "renecinfra-1"
  services = {
    redis-broker = { layer = "foundation", digest = "a" }
    prometheus   = { layer = "foundation", digest = "b" }
    replica      = { layer = "replication", digest = "g" }
    pgbouncer    = { layer = "database", digest = "c" }
    migrations   = { layer = "migration", digest = "d" }
    api-1        = { layer = "workload", digest = "e" }
    edge         = { layer = "edge", digest = "f" }
  }
}

run "each_service_is_in_its_layer" {
  command = plan

  assert {
    condition     = join(" ", output.services["foundation"]) == "prometheus redis-broker"
    error_message = "The foundation holds the services that say so."
  }

  assert {
    condition     = join(" ", keys(terraform_data.workload)) == "api-1"
    error_message = "Each service is an instance of its layer's resource."
  }

  assert {
    condition     = output.addresses["api-1"] == "terraform_data.workload[\"api-1\"]"
    error_message = "Addresses are those that -replace takes."
  }

  assert {
    condition     = terraform_data.edge["edge"].input.control == "/srv/an environment/lib/renecinfra/agents/control.py"
    error_message = "The control command is the installed one."
  }
}

run "an_unknown_layer_is_refused" {
  command = plan

  variables {
    services = { stray = { layer = "basement", digest = "a" } }
  }

  expect_failures = [var.services]
}

run "a_relative_home_is_refused" {
  command = plan

  variables {
    home = "home"
  }

  expect_failures = [var.home]
}
