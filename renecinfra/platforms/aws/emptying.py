"""Buckets that stand in the way of a destroy: what is in them, and emptying them for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from renecinfra.errors import ToolError
from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import code_of, told

_BATCH: Final = 1000
_ABSENT: Final = ("404", "NoSuchBucket")


def count(aws: Aws, bucket: str, region: str) -> int | None:
    """How many versions of objects are in a bucket; None where there is no such bucket.

    Raises:
        ToolError: S3 cannot be asked.
    """
    total = 0
    for batch in _versions(aws, bucket, region):
        if batch is None:
            return None
        total += len(batch)
    return total


def empty(
    aws: Aws,
    bucket: str,
    region: str,
    *,
    unlock: bool = False,
    on_deleted: Callable[[int], None] = lambda _n: None,
) -> int:
    """Delete every version of every object; returns how many.

    ``unlock`` also deletes what is locked in governance mode.

    Raises:
        ToolError: ``aws-objects-locked`` where some may not be deleted; or S3 refuses.
    """
    s3, deleted = aws.client("s3", region), 0
    more = {"BypassGovernanceRetention": True} if unlock else {}
    for batch in _versions(aws, bucket, region):
        if not batch:
            continue
        with told(f"emptying {bucket}"):
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True}, **more)
        if errors := answer.get("Errors"):
            raise ToolError(
                "aws-objects-locked",
                f"{len(errors)} objects of {bucket} cannot be deleted: {errors[0].get('Code')}",
                hint="they are locked until their time is over; leave out --delete-backups to keep them",
                details=(str(errors[0].get("Message", "")),),
            )
        deleted += len(batch)
        on_deleted(len(batch))
    return deleted


def _versions(aws: Aws, bucket: str, region: str) -> Iterator[list[dict[str, str]] | None]:
    """Batches of what :meth:`delete_objects` takes; one None where there is no bucket."""
    pages: Any = (
        aws.client("s3", region)
        .get_paginator("list_object_versions")
        .paginate(Bucket=bucket, PaginationConfig={"PageSize": _BATCH})
    )
    with told(f"looking into {bucket}"):
        try:
            for page in pages:
                found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                yield [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
        except Exception as error:
            if code_of(error) in _ABSENT:
                yield None
                return
            raise
