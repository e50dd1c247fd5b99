"""What is in an instance that was restored beside: asked by a job in the cluster, which alone reaches it.

Where the cluster cannot be asked from here, a restore goes on all the same: that is said, and people are
asked before the cutover.
"""

from __future__ import annotations

from typing import Any

from renecinfra.errors import ClusterError, ToolError
from renecinfra.kubernetes import jobs
from renecinfra.kubernetes.jobs import Access
from renecinfra.platforms import database_login
from renecinfra.platforms.aws.administrator import Administrator
from renecinfra.platforms.database_login import Login
from renecinfra.platforms.helm_releases import backends
from renecinfra.platforms.kubernetes import restore_check
from renecinfra.provision.aws import eks
from renecinfra.provision.aws.eks import EksSession
from renecinfra.provision.aws.session import AwsSession
from renecinfra.recovery.engine.checking import Finding


def look(session: AwsSession, instance: dict[str, Any], *, adopted: bool) -> list[Finding]:
    """Look into a restored database as its administrator; nothing is wrong where it cannot be asked at all.

    Args:
        session: the environment's.
        instance: as RDS describes it.
        adopted: whether it will serve, and gets today's login of the application therefore.

    Raises:
        SecretsError: the application's password cannot be had.
    """
    name = instance["DBInstanceIdentifier"]
    try:
        with eks.opened(session) as opened, session.reporter.progress(f"Looking into {name}") as progress:
            return _look(
                opened,
                Administrator(session.aws, name),
                instance,
                lambda text: progress.advance(0, text),
                adopted=adopted,
            )
    except (ClusterError, ToolError) as error:
        if error.id == "database-login":
            return [Finding("login", False, error.message)]
        session.reporter.warn(f"the contents of {name} were not looked at: {error.message}")
        if adopted:
            session.reporter.warn(
                f"run `renecinfra up {session.name}` afterwards: the application's password may be newer"
            )
        return [Finding("contents", True, f"not looked at: {error.message}")]


def _look(
    session: EksSession,
    administrator: Administrator,
    instance: dict[str, Any],
    note: jobs.Note,
    *,
    adopted: bool,
) -> list[Finding]:
    profile, namespace, cluster = session.profile, session.environment.namespace, session.cluster
    address = str((instance.get("Endpoint") or {}).get("Address", ""))
    server = backends(session.outputs).server
    assert server is not None
    if adopted:
        login = Login.of(profile, address, session.secrets())
        database_login.ensure(cluster, login, administrator, server.peers, note)
    job = restore_check.job_elsewhere(profile, address, Access.of(administrator.login(), server.peers))
    return restore_check.findings(jobs.run(cluster, namespace, job, note), profile.backups.assertions)
