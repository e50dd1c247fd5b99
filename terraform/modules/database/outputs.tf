output "identifier" {
  description = "The primary's identifier."
  value       = aws_db_instance.primary.identifier
}

output "arn" {
  description = "The primary's ARN."
  value       = aws_db_instance.primary.arn
}

output "replicas" {
  description = "The replicas' identifiers."
  value       = aws_db_instance.replica[*].identifier
}

output "address" {
  description = "The primary's host name."
  value       = aws_db_instance.primary.address
}

output "replica_addresses" {
  description = "The replicas' host names."
  value       = aws_db_instance.replica[*].address
}

output "administrator_secret_arn" {
  description = "The secret in Secrets Manager that has the administrator's password."
  value       = aws_db_instance.primary.master_user_secret[0].secret_arn
}
