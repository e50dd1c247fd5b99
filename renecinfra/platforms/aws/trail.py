"""Who changed a resource, as CloudTrail has it: the last 90 days of management events, without any set-up."""

from __future__ import annotations

from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import told


def last_writer(aws: Aws, resource: str) -> tuple[str | None, str | None]:
    """Who last changed a resource, and when; both None where CloudTrail knows of nobody.

    Raises:
        ToolError: CloudTrail cannot be asked.
    """
    with told(f"asking CloudTrail who changed {resource}"):
        answer = aws.client("cloudtrail").lookup_events(
            LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": resource}], MaxResults=20
        )
    for event in answer.get("Events", []):
        if str(event.get("ReadOnly", "")).lower() != "true":
            when = event.get("EventTime")
            who = f"{event.get('Username', 'somebody')} ({event.get('EventName', 'a change')})"
            return who, when.isoformat() if when is not None else None
    return None, None
