# Two topics: health checks tell us-east-1 alone.
locals {
  topic_regions = { here = var.region, edge = "us-east-1" }
  topic_keys    = { here = var.key_arn, edge = var.edge_key_arn }
}

resource "aws_sns_topic" "this" {
  for_each = local.topic_regions

  region            = each.value
  name              = "${var.name}-alarms-${each.key}"
  kms_master_key_id = local.topic_keys[each.key]
}

resource "aws_sns_topic_policy" "this" {
  for_each = local.topic_regions

  region = each.value
  arn    = aws_sns_topic.this[each.key].arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = each.key == "here" ? ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com", "backup.amazonaws.com", "elasticache.amazonaws.com"] : ["cloudwatch.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.this[each.key].arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_sns_topic_subscription" "this" {
  for_each = { for pair in setproduct(keys(local.topic_regions), var.emails) : "${pair[0]}/${pair[1]}" => { topic = pair[0], email = pair[1] } }

  region    = local.topic_regions[each.value.topic]
  topic_arn = aws_sns_topic.this[each.value.topic].arn
  protocol  = "email"
  endpoint  = each.value.email
}
