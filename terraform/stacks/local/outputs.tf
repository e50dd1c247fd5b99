output "home" {
  description = "Absolute path of the environment's home."
  value       = var.home
}

output "services" {
  description = "Names of the services, by layer."
  value       = { for layer, services in local.layers : layer => sort(keys(services)) }
}

output "addresses" {
  description = "Address of every service's resource, for `-replace`."
  value = {
    for name, service in var.services :
    name => format("terraform_data.%s[%q]", service.layer, name)
  }
}
