# The whole environment in AWS. What differs between environments is values alone, which come from the profile as
# environment.auto.tfvars.json; the provider and the backend are in files that are rendered beside this one.

locals {
  name      = "renec-${var.environment}"
  partition = startswith(var.region, "cn-") ? "aws-cn" : startswith(var.region, "us-gov-") ? "aws-us-gov" : "aws"

  # What the monitoring in the cluster writes its sign of life to.
  heartbeat_namespace = "Renec/${var.environment}"

  subnets = {
    compute = [for zone in var.network.zones : module.network.compute_subnets[zone]]
    data    = [for zone in var.network.zones : module.network.data_subnets[zone]]
  }
}

module "keys" {
  source = "../../modules/keys"

  name      = local.name
  account   = var.account
  partition = local.partition
  keys = {
    data    = { region = var.region, service_roles = ["arn:${local.partition}:iam::${var.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"] }
    cluster = { region = var.region }
    logs = {
      region     = var.region
      log_groups = true
      publishers = ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com", "backup.amazonaws.com", "elasticache.amazonaws.com"]
    }
    edge   = { region = "us-east-1", log_groups = true, publishers = ["cloudwatch.amazonaws.com"] }
    backup = { region = var.backup_region }
  }
}

module "network" {
  source = "../../modules/network"

  name                = local.name
  account             = var.account
  region              = var.region
  cidr                = var.network.cidr
  zones               = var.network.zones
  nat_gateways        = var.network.nat_gateways
  interface_endpoints = var.network.interface_endpoints
  log_retention_days  = var.operations.log_retention_days
  logs_key_arn        = module.keys.arns["logs"]
}

module "cluster" {
  source = "../../modules/cluster"

  name                = local.name
  account             = var.account
  partition           = local.partition
  region              = var.region
  kubernetes_version  = var.cluster.kubernetes_version
  subnet_ids          = local.subnets.compute
  api_allowed_cidrs   = var.cluster.api_allowed_cidrs
  administrators      = merge(var.cluster.administrators, [for github in module.github : { github-apply = github.apply_role_arn }]...)
  viewers             = merge([for github in module.github : { github-plan = github.plan_role_arn }]...)
  node_type           = var.cluster.node_type
  node_disk_gib       = var.cluster.node_disk_gib
  nodes_min           = var.cluster.nodes_min
  nodes_max           = var.cluster.nodes_max
  deletion_protection = var.operations.protected
  log_retention_days  = var.operations.log_retention_days
  logs_key_arn        = module.keys.arns["logs"]
  secrets_key_arn     = module.keys.arns["cluster"]
  data_key_arn        = module.keys.arns["data"]
  tags                = var.tags
}

module "database" {
  source = "../../modules/database"

  name                     = local.name
  account                  = var.account
  partition                = local.partition
  vpc_id                   = module.network.vpc_id
  subnet_ids               = local.subnets.data
  client_security_group_id = module.cluster.security_group_id
  engine_version           = var.database.version
  instance_type            = var.database.instance_type
  replicas                 = var.database.replicas
  multi_az                 = var.database.multi_az
  database_name            = var.database.name
  storage_gib              = var.database.storage_gib
  storage_max_gib          = var.database.storage_max_gib
  max_connections          = var.database.max_connections
  shared_buffers_kib       = var.database.shared_buffers_kib
  work_mem_kib             = var.database.work_mem_kib
  maintenance_work_mem_kib = var.database.maintenance_work_mem_kib
  retention_days           = var.operations.retention_days
  backup_window            = var.operations.backup_window
  maintenance_window       = var.operations.maintenance_window
  deletion_protection      = var.operations.protected
  final_snapshot           = var.operations.final_snapshot
  backup_region            = var.backup_region
  key_arn                  = module.keys.arns["data"]
  backup_key_arn           = module.keys.arns["backup"]
  log_retention_days       = var.operations.log_retention_days
  logs_key_arn             = module.keys.arns["logs"]
  topic_arn                = module.alarms.topic_arn
}

module "cache" {
  source = "../../modules/cache"

  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = local.subnets.data
  client_security_group_id = module.cluster.security_group_id
  groups                   = var.cache.groups
  password                 = var.redis_password
  password_version         = var.cache.password_version
  final_snapshot           = var.operations.final_snapshot
  backup_window            = var.operations.snapshot_window
  maintenance_window       = var.operations.maintenance_window
  key_arn                  = module.keys.arns["data"]
  log_retention_days       = var.operations.log_retention_days
  logs_key_arn             = module.keys.arns["logs"]
  topic_arn                = module.alarms.topic_arn
}

module "storage" {
  source = "../../modules/storage"

  name               = local.name
  account            = var.account
  region             = var.region
  backup_region      = var.backup_region
  key_arn            = module.keys.arns["data"]
  backup_key_arn     = module.keys.arns["backup"]
  retention_days     = var.operations.retention_days
  log_retention_days = var.operations.log_retention_days
  distribution_arn   = module.cdn.arn
}

module "certificates" {
  source = "../../modules/certificates"

  host    = var.edge.host
  zone_id = var.edge.zone_id
  region  = var.region
}

module "ingress" {
  source = "../../modules/ingress"

  name                  = local.name
  vpc_id                = module.network.vpc_id
  subnet_ids            = local.subnets.compute
  pod_security_group_id = module.cluster.security_group_id
  target_port           = var.edge.target_port
  health_path           = var.edge.health_path
  certificate_arn       = module.certificates.regional_arn
  idle_timeout_seconds  = var.edge.timeout_seconds
  deletion_protection   = var.operations.protected
  logs_bucket           = module.storage.logs.name
}

module "waf" {
  source = "../../modules/waf"

  name               = local.name
  rate_limit         = var.edge.rate_limit
  log_retention_days = var.operations.log_retention_days
  logs_key_arn       = module.keys.arns["edge"]
}

module "cdn" {
  source = "../../modules/cdn"

  name                   = local.name
  host                   = var.edge.host
  certificate_arn        = module.certificates.cdn_arn
  web_acl_arn            = module.waf.arn
  load_balancer_arn      = module.ingress.load_balancer_arn
  load_balancer_domain   = module.ingress.domain
  origin_timeout_seconds = var.edge.timeout_seconds
  assets_domain          = module.storage.assets_domain
  logs_bucket_arn        = module.storage.logs.arn
}

module "dns" {
  source = "../../modules/dns"

  host           = var.edge.host
  zone_id        = var.edge.zone_id
  target_domain  = module.cdn.domain
  target_zone_id = module.cdn.zone_id
  health_path    = var.edge.health_path
}

module "identity" {
  source = "../../modules/identity"

  name                 = local.name
  account              = var.account
  cluster_name         = module.cluster.name
  namespace            = var.cluster.namespace
  monitoring_namespace = var.cluster.monitoring_namespace
  backups_bucket_arn   = module.storage.backups.arn
  backups_key_arn      = module.keys.arns["data"]
  heartbeat_namespace  = local.heartbeat_namespace
}

module "github" {
  source   = "../../modules/github"
  for_each = var.github != null ? { this = var.github } : {}

  name             = local.name
  account          = var.account
  partition        = local.partition
  environment      = var.environment
  repository       = each.value.repository
  create_provider  = each.value.create_provider
  state_bucket_arn = "arn:${local.partition}:s3:::${each.value.state_bucket}"
  state_key        = each.value.state_key
  state_key_alias  = each.value.state_key_alias
}

module "backup" {
  source = "../../modules/backup"

  name           = local.name
  account        = var.account
  partition      = local.partition
  region         = var.region
  backup_region  = var.backup_region
  key_arn        = module.keys.arns["data"]
  backup_key_arn = module.keys.arns["backup"]
  retention_days = var.operations.retention_days
  schedule       = var.operations.backup_schedule
  resource_arns  = [module.database.arn]
  topic_arn      = module.alarms.topic_arn
}

module "alarms" {
  source = "../../modules/alarms"

  name                    = local.name
  environment             = var.environment
  account                 = var.account
  region                  = var.region
  emails                  = var.operations.alarm_emails
  runbook_url             = var.operations.runbook_url
  key_arn                 = module.keys.arns["logs"]
  edge_key_arn            = module.keys.arns["edge"]
  databases               = concat([module.database.identifier], module.database.replicas)
  max_connections         = var.database.max_connections
  replication_lag_seconds = var.operations.replication_lag_seconds
  cache_nodes             = module.cache.node_ids
  load_balancer           = module.ingress.load_balancer_arn_suffix
  target_group            = module.ingress.target_group_arn_suffix
  nat_gateways            = module.network.nat_gateways
  health_check_id         = module.dns.health_check_id
  heartbeat_namespace     = local.heartbeat_namespace
}

module "budget" {
  source = "../../modules/budget"

  name        = local.name
  environment = var.environment
  monthly_usd = var.operations.monthly_usd
  emails      = var.operations.alarm_emails
}
