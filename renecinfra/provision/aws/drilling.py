"""`drill` in AWS: have RDS restore the newest moment beside, look at the instance, time it, and delete it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from renecinfra.platforms.aws.recovery import Instances
from renecinfra.provision.aws import restore_progress
from renecinfra.provision.aws.restore_planning import plan
from renecinfra.provision.aws.restoring import check, instances_of, progress_of
from renecinfra.provision.aws.session import AwsSession
from renecinfra.recovery.engine.checking import Finding, require
from renecinfra.recovery.targets import LatestTarget


@dataclass(frozen=True, slots=True)
class AwsDrill:
    """What a rehearsal showed. ``seconds`` is until the instance could be used, ``behind`` those from the
    restored moment to the present."""

    environment: str
    target: str
    seconds: float
    behind: float
    findings: tuple[Finding, ...]

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "ok": True,
            "target": self.target,
            "rto_seconds": round(self.seconds, 1),
            "rpo_seconds": round(self.behind, 1),
            "findings": [one.document() for one in self.findings],
        }


def drill(session: AwsSession, argv: Sequence[str], instances: Instances | None = None) -> AwsDrill:
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
                backups = session.profile.backups
                findings = (
                    *check(session, found),
                    Finding(
                        "RTO",
                        seconds <= backups.rto.total_seconds(),
                        f"{seconds:.0f} s of {backups.rto.total_seconds():.0f} s",
                    ),
                )
                require(list(findings), session.name)
        finally:
            with run.step("remove"), session.reporter.step(f"Deleting {name}"):
                instances.delete(name, snapshot=None)
        return AwsDrill(session.name, made.target, seconds, made.lost, findings)
