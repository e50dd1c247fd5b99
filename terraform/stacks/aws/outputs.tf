output "cluster" {
  description = "The cluster: name, API, CA (base64), and the key of its volumes."
  value = {
    name                  = module.cluster.name
    endpoint              = module.cluster.endpoint
    certificate_authority = module.cluster.certificate_authority
    volume_key_arn        = module.keys.arns["data"]
  }
}

output "database" {
  description = "PostgreSQL: identifiers, host names, and the secret with the administrator's password."
  value = {
    identifier               = module.database.identifier
    replicas                 = module.database.replicas
    address                  = module.database.address
    replica_addresses        = module.database.replica_addresses
    administrator_secret_arn = module.database.administrator_secret_arn
  }
}

output "cache" {
  description = "Host names of the broker and the cache, and their ids; port 6379, TLS only."
  value = {
    addresses = module.cache.addresses
    group_ids = module.cache.group_ids
  }
}

output "edge" {
  description = "Where the edge's pods register, and what is in front of them."
  value = {
    host             = var.edge.host
    target_group_arn = module.ingress.target_group_arn
    target_port      = var.edge.target_port
    distribution_id  = module.cdn.distribution_id
    network_cidr     = var.network.cidr
  }
}

output "storage" {
  description = "Buckets of static files and of backups."
  value = {
    assets       = module.storage.assets.name
    backups      = module.storage.backups.name
    backups_copy = module.storage.backups.copy
  }
}

output "monitoring" {
  description = "Where the monitoring's sign of life is written, and the alarms' topic."
  value = {
    heartbeat_namespace = local.heartbeat_namespace
    topic_arn           = module.alarms.topic_arn
    alarms              = module.alarms.alarm_names
  }
}

output "backup" {
  description = "AWS Backup's vaults by region, and its plan."
  value = {
    vaults  = module.backup.vaults
    plan_id = module.backup.plan_id
  }
}

output "roles" {
  description = "Roles of the application's pods, and of GitHub's jobs."
  value = {
    pods   = module.identity.pod_role_arns
    github = { for key, github in module.github : "jobs" => { plan = github.plan_role_arn, apply = github.apply_role_arn } }
  }
}

output "egress_addresses" {
  description = "The addresses that the harvest is seen from."
  value       = module.network.egress_addresses
}
