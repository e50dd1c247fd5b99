output "topic_arn" {
  description = "Where the environment's alarms and events are told."
  value       = aws_sns_topic.this["here"].arn
}

output "alarm_names" {
  description = "The alarms' names."
  value       = concat(keys(aws_cloudwatch_metric_alarm.this), [aws_cloudwatch_metric_alarm.public.alarm_name])
}
