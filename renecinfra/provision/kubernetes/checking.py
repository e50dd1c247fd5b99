"""Whether a PostgreSQL that was recovered beside is right: what its operator says, and what is in it."""

from __future__ import annotations

from typing import Any

from renecinfra.kubernetes import jobs
from renecinfra.platforms.kubernetes import restore_check
from renecinfra.platforms.kubernetes.restore_check import Checked
from renecinfra.provision.kubernetes.session import ClusterSession
from renecinfra.recovery.engine.checking import Finding


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
    checked = Checked(found["metadata"]["name"], found["spec"]["imageName"])
    job = restore_check.job(session.profile, checked)
    with session.reporter.progress(f"Looking into {checked.cluster}") as progress:
        message = jobs.run(
            session.cluster, session.environment.namespace, job, lambda text: progress.advance(0, text)
        )
    return restore_check.findings(message, session.profile.backups.assertions)
