output "addresses" {
  description = "Host names of the primaries, by group; the port is 6379, TLS only."
  value       = { for name, group in aws_elasticache_replication_group.this : name => group.primary_endpoint_address }
}

output "group_ids" {
  description = "The replication groups' ids, by group."
  value       = { for name, group in aws_elasticache_replication_group.this : name => group.replication_group_id }
}

output "node_ids" {
  description = "Ids of the groups' nodes, by group, as CloudWatch names them."
  value = {
    for name, group in var.groups : name => [for index in range(group.nodes) : format("%s-%03d", aws_elasticache_replication_group.this[name].replication_group_id, index + 1)]
  }
}
