"""What an environment on a cluster looks like: rollouts, restarts, scaling, certificates, backups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from renecinfra.kubernetes import diagnosis
from renecinfra.kubernetes.catalogue import Release
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.installed import Installed, installed
from renecinfra.kubernetes.places import CURRENT, ROLE_LABEL
from renecinfra.profiles.model import Profile

_KINDS: Final = (
    "deployments",
    "statefulsets",
    "pods",
    "events",
    "horizontalpodautoscalers",
    "certificates",
    "clusters.postgresql.cnpg.io",
    "backups.postgresql.cnpg.io",
)
_EXPIRY_WARNING: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WorkloadStatus:
    """A Deployment or StatefulSet. ``images`` are those of its pods' containers."""

    name: str
    wanted: int
    ready: int
    updated: int
    restarts: int
    images: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all of it is ready, in its newest version."""
        return self.ready >= self.wanted and self.updated >= self.wanted


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The whole of it. ``problems`` are sentences; none means that all is well."""

    environment: str
    workloads: tuple[WorkloadStatus, ...]
    releases: tuple[Installed, ...]
    scaling: Mapping[str, str]
    certificates: Mapping[str, str]
    database: str
    last_backup: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.problems

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "ok": self.ok,
            "workloads": [asdict(one) for one in self.workloads],
            "releases": [one.document() for one in self.releases],
            "scaling": dict(self.scaling),
            "certificates": dict(self.certificates),
            "database": self.database,
            "last_backup": self.last_backup,
            "problems": list(self.problems),
        }


def read(cluster: Cluster, profile: Profile, releases: Sequence[Release], namespace: str) -> ClusterStatus:
    """Look at the cluster.

    Raises:
        ClusterError: it does not answer.
    """
    with ThreadPoolExecutor(4, thread_name_prefix="status") as pool:
        there = pool.submit(installed, cluster)
        found = dict(
            zip(_KINDS, pool.map(lambda kind: cluster.objects(kind, namespace), _KINDS), strict=True)
        )
        listed = there.result()
    return of_objects(profile, releases, listed, found, datetime.now(UTC))


def of_objects(
    profile: Profile,
    releases: Sequence[Release],
    listed: Mapping[tuple[str, str], Installed],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    now: datetime,
) -> ClusterStatus:
    """What objects of a cluster say. Pure."""
    pods = found["pods"]
    workloads = tuple(_workload(one, pods) for kind in ("deployments", "statefulsets") for one in found[kind])
    mine = [(one, listed.get((one.namespace, one.name))) for one in releases]
    problems = [f"the release {one.name} is not installed" for one, there in mine if there is None]
    problems += [
        f"the release {there.name} is {there.status}"
        for _, there in mine
        if there is not None and there.status != "deployed"
    ]
    problems += [
        f"{one.name}: {one.ready} of {one.wanted} ready, {one.updated} in the newest version"
        for one in workloads
        if not one.ok
    ]
    problems += [f"{one} ({one.hint})" for one in diagnosis.findings(pods, found["events"])]
    certificates = {
        one["metadata"]["name"]: _certificate(one, now, problems) for one in found["certificates"]
    }
    database = _database(found["clusters.postgresql.cnpg.io"], problems)
    backup = _last_backup(profile, found["backups.postgresql.cnpg.io"], now, problems)
    return ClusterStatus(
        profile.environment,
        workloads,
        tuple(there for _, there in mine if there is not None),
        {one["metadata"]["name"]: _scaling(one) for one in found["horizontalpodautoscalers"]},
        certificates,
        database,
        backup,
        tuple(problems),
    )


def _workload(one: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> WorkloadStatus:
    status, spec = one.get("status", {}), one["spec"]
    selector = spec["selector"]["matchLabels"]
    mine = [pod for pod in pods if selector.items() <= pod["metadata"].get("labels", {}).items()]
    containers = [each for pod in mine for each in pod.get("status", {}).get("containerStatuses", [])]
    observed = status.get("observedGeneration", 0) >= one["metadata"].get("generation", 0)
    return WorkloadStatus(
        one["metadata"]["name"],
        spec.get("replicas", 1),
        status.get("readyReplicas", 0),
        status.get("updatedReplicas", 0) if observed else 0,
        sum(each.get("restartCount", 0) for each in containers),
        tuple(sorted({each["image"] for each in spec["template"]["spec"]["containers"]})),
    )


def _certificate(one: Mapping[str, Any], now: datetime, problems: list[str]) -> str:
    name, status = one["metadata"]["name"], one.get("status", {})
    ready = [each for each in status.get("conditions", []) if each["type"] == "Ready"]
    if not ready or ready[0]["status"] != "True":
        why = ready[0].get("message", "") if ready else "cert-manager has not looked at it"
        problems.append(f"the certificate {name} is not ready: {why}")
        return "not ready"
    if "notAfter" not in status:
        return "ready"
    left = datetime.fromisoformat(status["notAfter"]) - now
    if left < _EXPIRY_WARNING:
        problems.append(f"the certificate {name} expires in {left.days} days and was not renewed")
    return f"expires in {left.days} days"


def _database(clusters: Sequence[Mapping[str, Any]], problems: list[str]) -> str:
    for one in clusters:
        # One beside or kept is a restore's affair; see `backup ENV list`.
        if one["metadata"].get("labels", {}).get(ROLE_LABEL, CURRENT) != CURRENT:
            continue
        status, wanted = one.get("status", {}), one["spec"]["instances"]
        ready = status.get("readyInstances", 0)
        archiving = [each for each in status.get("conditions", []) if each["type"] == "ContinuousArchiving"]
        if archiving and archiving[0]["status"] == "False":
            problems.append(f"the write-ahead log is not archived: {archiving[0].get('message', '')}")
        if ready < wanted:
            problems.append(
                f"PostgreSQL: {ready} of {wanted} instances ready ({status.get('phase', 'unknown')})"
            )
        return f"{ready} of {wanted} instances, primary {status.get('currentPrimary', 'unknown')}"
    return ""


def _last_backup(
    profile: Profile, backups: Sequence[Mapping[str, Any]], now: datetime, problems: list[str]
) -> str:
    if not profile.backups.enabled:
        return ""
    stopped = [
        one["status"]["stoppedAt"]
        for one in backups
        if one.get("status", {}).get("phase") == "completed" and one["status"].get("stoppedAt")
    ]
    failed = [one for one in backups if one.get("status", {}).get("phase") == "failed"]
    if failed:
        problems.append(
            f"the backup {failed[-1]['metadata']['name']} failed: {failed[-1]['status'].get('error', '')}"
        )
    if not stopped:
        return "none yet"
    age = now - datetime.fromisoformat(max(stopped))
    return f"{age.total_seconds() / 3600:.0f} h ago"


def _scaling(one: Mapping[str, Any]) -> str:
    status, spec = one.get("status", {}), one["spec"]
    current = status.get("currentReplicas", 0)
    return f"{current} of {spec.get('minReplicas', 1)} to {spec['maxReplicas']}"
