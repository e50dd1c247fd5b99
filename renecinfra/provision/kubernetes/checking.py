"""Whether a PostgreSQL that was recovered beside is right: what its operator says, and what is in it."""

from __future__ import annotations

import time
from typing import Any, Final

from renecinfra.errors import ClusterError
from renecinfra.platforms.kubernetes import restore_check
from renecinfra.platforms.kubernetes.restore_check import Checked
from renecinfra.provision.kubernetes.session import ClusterSession
from renecinfra.recovery.engine.checking import Finding

_POLL: Final = 2.0
_JOBS: Final = "jobs"


def check(session: ClusterSession, found: dict[str, Any]) -> list[Finding]:
    """Every finding. ``found`` is the operator's object, which has all of its instances.

    Raises:
        ClusterError: the cluster refuses, or the job that looks into the database does not start.
    """
    return [*_operator(found), *_contents(session, found)]


def _operator(found: dict[str, Any]) -> list[Finding]:
    status, spec = found.get("status", {}), found["spec"]
    archiving = [one for one in status.get("conditions", []) if one["type"] == "ContinuousArchiving"]
    ready = status.get("readyInstances", 0)
    return [
        Finding("instances", ready >= spec["instances"], f"{ready} of {spec['instances']}"),
        Finding("primary", bool(status.get("currentPrimary")), str(status.get("currentPrimary", "none"))),
        Finding(
            "archive",
            not archiving or archiving[0]["status"] == "True",
            archiving[0].get("message", "is archived") if archiving else "not observed yet",
        ),
    ]


def _contents(session: ClusterSession, found: dict[str, Any]) -> list[Finding]:
    cluster, namespace = session.cluster, session.environment.namespace
    checked = Checked(found["metadata"]["name"], found["spec"]["imageName"])
    started = time.monotonic()
    with session.reporter.progress(f"Looking into {checked.cluster}") as progress:
        _remove(session, checked.job)  # of a restore that was cut off: a job cannot change
        cluster.apply(restore_check.manifest(session.profile, checked), namespace)
        try:
            while (message := _message(session, checked.job)) is None:
                seconds = time.monotonic() - started
                if seconds > restore_check.SECONDS:
                    raise _timeout(session, checked.job)
                progress.advance(0, f"for {seconds:.0f} s")
                time.sleep(_POLL if seconds > _POLL else 0.2)
        finally:
            _remove(session, checked.job)
    return restore_check.findings(message, session.profile.backups.assertions)


def _message(session: ClusterSession, job: str) -> str | None:
    """What the job's pod said at its end; None while it has not ended."""
    namespace = session.environment.namespace
    jobs = session.cluster.objects(_JOBS, namespace)
    one = next((one for one in jobs if one["metadata"]["name"] == job), {})
    ended = {c["type"] for c in one.get("status", {}).get("conditions", []) if c["status"] == "True"}
    if not ended & {"Complete", "Failed"}:
        return None
    selector = f"app.kubernetes.io/component={restore_check.COMPONENT}"
    for pod in session.cluster.objects("pods", namespace, selector):
        for container in pod.get("status", {}).get("containerStatuses", []):
            if "terminated" in container["state"]:
                return str(container["state"]["terminated"].get("message", ""))
    if "Failed" in ended:
        raise _timeout(session, job)
    return ""


def _timeout(session: ClusterSession, job: str) -> ClusterError:
    error = ClusterError(
        "release-timeout",
        f"the job {job}, which looks into the restored database, did not end",
        hint="`kubectl describe job` in the environment's namespace says why",
    )
    return session.cluster.explained(error, session.environment.namespace)


def _remove(session: ClusterSession, job: str) -> None:
    cluster, namespace = session.cluster, session.environment.namespace
    if any(one["metadata"]["name"] == job for one in cluster.objects(_JOBS, namespace)):
        cluster.read(cluster.kubectl.delete(_JOBS, (job,), namespace), seconds=180)
