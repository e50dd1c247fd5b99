output "vaults" {
  description = "The vaults' names, by region."
  value       = { for region, vault in aws_backup_vault.this : region => vault.name }
}

output "plan_id" {
  description = "The backup plan."
  value       = aws_backup_plan.this.id
}
