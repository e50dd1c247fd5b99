"""Alarms in AWS: whether they are there, tell somebody, and whether the monitoring gives a sign of life."""

from __future__ import annotations

from typing import Any, Final

from renecinfra.hooks.protocol import AwsHookContext, Check
from renecinfra.platforms.aws.faults import told
from renecinfra.platforms.aws.variables import name as name_of

_PAGE: Final = 100


class MonitoringHook:
    """Looks at the alarms and at who is told; Terraform made them, and people have to accept by e-mail."""

    name = "monitoring"
    needs: tuple[str, ...] = ()

    def run(self, context: AwsHookContext) -> str:
        """Nothing is to be done.

        Raises:
            ToolError: CloudWatch cannot be asked.
        """
        ringing = [alarm["AlarmName"] for alarm in _alarms(context) if alarm.get("StateValue") == "ALARM"]
        return f"ringing: {', '.join(ringing)}" if ringing else "no alarm rings"

    def verify(self, context: AwsHookContext) -> list[Check]:
        """Every alarm is there and tells somebody; people have accepted to be told."""
        wanted = set(context.outputs["monitoring"]["alarms"])
        there = _alarms(context)
        missing = sorted(wanted - {alarm["AlarmName"] for alarm in there})
        silent = sorted(
            alarm["AlarmName"]
            for alarm in there
            if not alarm.get("AlarmActions") or not alarm.get("ActionsEnabled", True)
        )
        return [
            Check(
                "alarms are there",
                not missing,
                f"missing: {', '.join(missing)}" if missing else f"{len(wanted)} alarms",
            ),
            Check(
                "alarms tell somebody",
                not silent,
                f"silent: {', '.join(silent)}" if silent else "all of them",
            ),
            _subscribed(context),
        ]


def _alarms(context: AwsHookContext) -> list[dict[str, Any]]:
    """The environment's alarms; the one that looks from outside is in us-east-1."""
    names = list(context.outputs["monitoring"]["alarms"])
    found: dict[str, dict[str, Any]] = {}
    for region in dict.fromkeys((context.aws.platform.region, "us-east-1")):
        client = context.aws.client("cloudwatch", region)
        for start in range(0, len(names), _PAGE):
            with told(f"asking CloudWatch for the alarms in {region}"):
                answer = client.describe_alarms(AlarmNames=names[start : start + _PAGE])
            found |= {alarm["AlarmName"]: dict(alarm) for alarm in answer["MetricAlarms"]}
    return [found[one] for one in names if one in found]


def _subscribed(context: AwsHookContext) -> Check:
    topic, title = context.outputs["monitoring"]["topic_arn"], "people are told"
    with told("asking SNS who is told"):
        pages = (
            context.aws.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        )
        found = [one for page in pages for one in page["Subscriptions"]]
    waiting = [one["Endpoint"] for one in found if one["SubscriptionArn"] == "PendingConfirmation"]
    if not found:
        return Check(title, False, f"nobody is subscribed to the alarms of {name_of(context.profile)}")
    if waiting:
        return Check(title, False, f"{', '.join(waiting)} must accept the e-mail that AWS sent")
    return Check(title, True, ", ".join(one["Endpoint"] for one in found))
