# Prometheus watches the application. These watch what Prometheus stands on, and Prometheus itself: they are all that
# is left when the cluster is gone.
locals {
  database = merge([for instance in var.databases : {
    "${instance}-cpu" = {
      metric  = "CPUUtilization", threshold = 85, comparison = "GreaterThanThreshold", minutes = 15
      meaning = "PostgreSQL computes all the time", dimensions = { DBInstanceIdentifier = instance }
    }
    "${instance}-storage" = {
      metric  = "FreeStorageSpace", threshold = 10 * 1024 * 1024 * 1024, comparison = "LessThanThreshold", minutes = 5
      meaning = "less than 10 GiB are free, and storage did not grow", dimensions = { DBInstanceIdentifier = instance }
    }
    "${instance}-connections" = {
      metric  = "DatabaseConnections", threshold = floor(var.max_connections * 0.9), comparison = "GreaterThanThreshold", minutes = 5
      meaning = "nine of ten connections are taken", dimensions = { DBInstanceIdentifier = instance }
    }
  }]...)

  replica = { for instance in slice(var.databases, 1, length(var.databases)) : "${instance}-lag" => {
    metric  = "ReplicaLag", threshold = var.replication_lag_seconds, comparison = "GreaterThanThreshold", minutes = 5
    meaning = "the replica is behind", dimensions = { DBInstanceIdentifier = instance }
  } }

  cache = merge([for node in flatten(values(var.cache_nodes)) : {
    "${node}-memory" = {
      metric  = "DatabaseMemoryUsagePercentage", threshold = 85, comparison = "GreaterThanThreshold", minutes = 5
      meaning = "memory is nearly full", dimensions = { CacheClusterId = node }
    }
  } if contains(var.cache_nodes["broker"], node)]...)

  alarms = merge(
    { for name, alarm in local.database : name => merge(alarm, { namespace = "AWS/RDS", statistic = "Average", missing = "breaching" }) },
    { for name, alarm in local.replica : name => merge(alarm, { namespace = "AWS/RDS", statistic = "Average", missing = "breaching" }) },
    { for name, alarm in local.cache : name => merge(alarm, { namespace = "AWS/ElastiCache", statistic = "Maximum", missing = "breaching" }) },
    {
      "${var.name}-edge-errors" = {
        namespace  = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", statistic = "Sum", threshold = 50
        comparison = "GreaterThanThreshold", minutes = 5, missing = "notBreaching", meaning = "the edge answers with errors"
        dimensions = { LoadBalancer = var.load_balancer }
      }
      "${var.name}-edge-hosts" = {
        namespace  = "AWS/ApplicationELB", metric = "HealthyHostCount", statistic = "Minimum", threshold = 1
        comparison = "LessThanThreshold", minutes = 2, missing = "breaching", meaning = "no pod of the edge serves"
        dimensions = { LoadBalancer = var.load_balancer, TargetGroup = var.target_group }
      }
      # The monitoring's own sign of life: whoever sends it has asked Prometheus and Alertmanager whether they work.
      "${var.name}-monitoring" = {
        namespace  = var.heartbeat_namespace, metric = "MonitoringHeartbeat", statistic = "Sum", threshold = 1
        comparison = "LessThanThreshold", minutes = 5, missing = "breaching", meaning = "the monitoring itself is down"
        dimensions = { Environment = var.environment }
      }
    },
    { for zone, gateway in var.nat_gateways : "${var.name}-nat-${zone}" => {
      namespace  = "AWS/NATGateway", metric = "ErrorPortAllocation", statistic = "Sum", threshold = 0
      comparison = "GreaterThanThreshold", minutes = 5, missing = "notBreaching", meaning = "connections to the internet fail for lack of ports"
      dimensions = { NatGatewayId = gateway }
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = each.key
  alarm_description   = "${var.environment}: ${each.value.meaning}. ${var.runbook_url}/aws/alarms.md"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.minutes
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.this["here"].arn]
  ok_actions          = [aws_sns_topic.this["here"].arn]
}

resource "aws_cloudwatch_metric_alarm" "public" {
  region              = "us-east-1"
  alarm_name          = "${var.name}-public"
  alarm_description   = "${var.environment}: it does not answer from outside. ${var.runbook_url}/aws/alarms.md"
  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  dimensions          = { HealthCheckId = var.health_check_id }
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this["edge"].arn]
  ok_actions          = [aws_sns_topic.this["edge"].arn]
}
