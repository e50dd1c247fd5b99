output "assets" {
  description = "The bucket of the UI's static files."
  value       = { name = module.assets.name, arn = module.assets.arn }
}

# Apart from the others, which wait for the bucket's policy, which waits for the distribution that reads this.
output "assets_domain" {
  description = "Host name of the bucket of static files."
  value       = module.assets.regional_domain_name
}

output "backups" {
  description = "The buckets of backups: the one that is written to, and its copy in the backup region."
  value       = { name = module.backups.name, arn = module.backups.arn, copy = module.backups_copy.name }
}

output "logs" {
  description = "The bucket of access logs."
  value       = { name = module.logs.name, arn = module.logs.arn }
}
