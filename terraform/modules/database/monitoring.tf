# Created before the instances, which would otherwise make them: unencrypted and kept for ever.
resource "aws_cloudwatch_log_group" "primary" {
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.logs_key_arn
}

resource "aws_cloudwatch_log_group" "replica" {
  for_each = toset(flatten([for index in range(var.replicas) : [for log in ["postgresql", "upgrade"] : "${var.name}-replica-${index + 1}/${log}"]]))

  name              = "/aws/rds/instance/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.logs_key_arn
}

resource "aws_iam_role" "monitoring" {
  name = "${var.name}-database-monitoring"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_event_subscription" "this" {
  name             = var.name
  sns_topic        = var.topic_arn
  source_type      = "db-instance"
  source_ids       = concat([aws_db_instance.primary.identifier], aws_db_instance.replica[*].identifier)
  event_categories = ["availability", "deletion", "failover", "failure", "low storage", "recovery", "restoration"]
}
