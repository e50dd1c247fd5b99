"""`drill` in AWS: have RDS restore the newest moment beside, look at the instance, time it, and delete it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from renecinfra.errors import ClusterError, ToolError
from renecinfra.platforms.aws.recovery import Instances
from renecinfra.provision.aws import contents, eks, restore_progress
from renecinfra.provision.aws.restore_planning import plan
from renecinfra.provision.aws.restoring import check, instances_of, progress_of
from renecinfra.provision.aws.session import AwsSession
from renecinfra.provision.kubernetes import drilling
from renecinfra.provision.rehearsal import Rehearsal, promised
from renecinfra.recovery.engine.checking import require
from renecinfra.recovery.targets import LatestTarget


def drill(session: AwsSession, argv: Sequence[str], instances: Instances | None = None) -> Rehearsal:
    """Rehearse a restore. What it makes is deleted in any case; after a kill, `restore --abort` deletes it.

    Raises:
        RestoreError: nothing can be restored, the restored instance is not right, or it took longer than
            ``backups.rto`` promises.
    """
    with session.locked("drill", argv) as run:
        instances = instances or instances_of(session)
        restore_progress.refuse_unfinished(progress_of(instances), session.name)
        with run.step("plan"):
            made = plan(session, instances, LatestTarget())
        started, name = time.monotonic(), made.names.restored
        try:
            with run.step("restore"), session.reporter.progress(f"Waiting for {name}") as progress:
                instances.restore(made.names, made.source, None, None, f"drill of {made.target}")
                instances.wait(name, lambda text: progress.advance(0, text))
                seconds = time.monotonic() - started
                instances.take_over(name, lambda text: progress.advance(0, text))
            with run.step("check"):
                found = instances.wait(name, session.reporter.note)
                findings = (
                    *check(session, found),
                    *contents.look(session, found, adopted=False),
                    promised(seconds, session.profile.backups.rto.total_seconds()),
                )
                require(list(findings), session.name, rehearsed=True)
        finally:
            with run.step("remove"), session.reporter.step(f"Deleting {name}"):
                instances.delete(name, snapshot=None)
        with run.step("record"):
            record(session, seconds)
        return Rehearsal(session.name, made.target, seconds, made.lost, findings)


def record(session: AwsSession, seconds: float) -> None:
    """Keep a good drill in the cluster, for the alert on its age; where it cannot be, that is said."""
    if not session.profile.releases.monitoring:
        return
    try:
        with eks.opened(session) as opened:
            drilling.record(opened, seconds)
    except (ClusterError, ToolError) as error:
        session.reporter.warn(f"the drill went well, but DrillStale will not know of it: {error.message}")
