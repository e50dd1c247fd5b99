"""The state of an environment in AWS on one screen, by asking AWS itself and not Terraform's state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from renecinfra.errors import RenecError
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import code_of, told
from renecinfra.platforms.aws.state import StateStore
from renecinfra.profiles.model import Profile

_ABSENT: Final = frozenset(
    {
        "ResourceNotFoundException",
        "DBInstanceNotFound",
        "DBInstanceNotFoundFault",
        "ReplicationGroupNotFoundFault",
    }
)
_GOOD: Final = frozenset({"active", "available", "backing-up", "storage-optimization", "ok", "free"})


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the environment; ``state`` is AWS's own word, or `absent`."""

    name: str
    state: str
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        return self.state.lower() in _GOOD


@dataclass(frozen=True, slots=True)
class AwsStatus:
    """What was seen; ``problems`` are what could not be looked at."""

    environment: str
    parts: tuple[Part, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.problems and all(part.ok for part in self.parts)

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "ok": self.ok,
            "parts": [{"name": p.name, "state": p.state, "ok": p.ok, "detail": p.detail} for p in self.parts],
            "problems": list(self.problems),
        }


def read_status(profile: Profile, aws: Aws) -> AwsStatus:
    """Look at everything, side by side.

    Raises:
        ToolError: AWS cannot be asked at all, or it is the wrong account.
    """
    aws.require_account()
    looks: list[Callable[[], list[Part]]] = [
        lambda: _cluster(profile, aws),
        lambda: list(_databases(profile, aws)),
        lambda: list(_caches(profile, aws)),
        lambda: _alarms(profile, aws),
        lambda: _lock(profile, aws),
    ]

    def look(one: Callable[[], list[Part]]) -> list[Part] | str:
        try:
            return one()
        except RenecError as error:
            return error.message

    with ThreadPoolExecutor(len(looks), thread_name_prefix="status") as pool:
        found = list(pool.map(look, looks))
    parts = [part for one in found if not isinstance(one, str) for part in one]
    return AwsStatus(profile.environment, tuple(parts), tuple(one for one in found if isinstance(one, str)))


def _asked(doing: str, ask: Callable[[], Any]) -> Any:
    """AWS's answer; None where there is no such thing."""
    with told(doing):
        try:
            return ask()
        except Exception as error:
            if code_of(error) in _ABSENT:
                return None
            raise


def _cluster(profile: Profile, aws: Aws) -> list[Part]:
    eks, name = aws.client("eks"), values.name(profile)
    answer = _asked("asking EKS", lambda: eks.describe_cluster(name=name))
    if answer is None:
        return [Part(f"cluster {name}", "absent")]
    cluster = answer["cluster"]
    parts = [Part(f"cluster {name}", str(cluster["status"]), f"Kubernetes {cluster.get('version', '')}")]
    listed = _asked("asking EKS", lambda: eks.list_nodegroups(clusterName=name))
    groups = listed["nodegroups"] if listed else []
    found = [_nodes(eks, name, group) for group in groups]
    return [*parts, *(found or [Part("nodes", "absent")])]


def _nodes(eks: Any, cluster: str, name: str) -> Part:
    """One node group; there are two while one takes the other's place."""
    answer = _asked("asking EKS", lambda: eks.describe_nodegroup(clusterName=cluster, nodegroupName=name))
    if answer is None:
        return Part(f"nodes {name}", "absent")
    nodes = answer["nodegroup"]
    scaling = nodes.get("scalingConfig", {})
    wanted = f"{scaling.get('desiredSize')} wanted, {scaling.get('minSize')} to {scaling.get('maxSize')}"
    issues = "; ".join(str(issue.get("message", "")) for issue in nodes.get("health", {}).get("issues", []))
    return Part(f"nodes {name}", str(nodes["status"]), f"{wanted}{'; ' + issues if issues else ''}")


def _databases(profile: Profile, aws: Aws) -> Iterator[Part]:
    rds, name = aws.client("rds"), values.name(profile)
    names = [name, *(f"{name}-replica-{n + 1}" for n in range(profile.database.replicas))]
    for one in names:
        answer = _asked("asking RDS", partial(rds.describe_db_instances, DBInstanceIdentifier=one))
        if answer is None:
            yield Part(f"database {one}", "absent")
            continue
        found = answer["DBInstances"][0]
        newest = found.get("LatestRestorableTime")
        detail = f"{found.get('EngineVersion', '')}, {found.get('DBInstanceClass', '')}"
        if newest and one == name:
            detail += f", restorable until {newest:%H:%M:%S} UTC"
        yield Part(f"database {one}", str(found.get("DBInstanceStatus", "unknown")), detail)


def _caches(profile: Profile, aws: Aws) -> Iterator[Part]:
    client = aws.client("elasticache")
    for kind in ("broker", "cache"):
        name = f"{values.name(profile)}-{kind}"
        answer = _asked(
            "asking ElastiCache",
            partial(client.describe_replication_groups, ReplicationGroupId=name),
        )
        if answer is None:
            yield Part(f"{kind} {name}", "absent")
            continue
        group = answer["ReplicationGroups"][0]
        yield Part(f"{kind} {name}", str(group["Status"]), f"{len(group.get('MemberClusters', []))} nodes")


def _alarms(profile: Profile, aws: Aws) -> list[Part]:
    ringing, total = [], 0
    for region in dict.fromkeys((aws.platform.region, "us-east-1")):
        pages = aws.client("cloudwatch", region).get_paginator("describe_alarms")
        with told(f"asking CloudWatch in {region}"):
            for page in pages.paginate(AlarmNamePrefix=f"{values.name(profile)}-"):
                total += len(page["MetricAlarms"])
                ringing += [a["AlarmName"] for a in page["MetricAlarms"] if a.get("StateValue") == "ALARM"]
    if not total:
        return [Part("alarms", "absent")]
    return [Part("alarms", "ringing" if ringing else "ok", ", ".join(ringing) or f"{total} alarms")]


def _lock(profile: Profile, aws: Aws) -> list[Part]:
    lock = StateStore(profile, aws).lock()
    if lock is None:
        return [Part("state", "free")]
    return [Part("state", "locked", f"by {lock.who} ({lock.operation})")]
