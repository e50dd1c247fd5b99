"""`down`: stop everything in reverse order, then delete the data unless it is kept.

Backups stay, with the pass phrase that opens them, unless they are to go, too: what dies with the environment
is no backup.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renecinfra.platforms.local.environment import LocalEnvironment
from renecinfra.profiles.operations import S3Repository
from renecinfra.provision import applied, deployed
from renecinfra.provision.planning import write_stack
from renecinfra.provision.session import Session
from renecinfra.provision.telling import tell
from renecinfra.reporting import Progress
from renecinfra.secrets import openbao


@dataclass(frozen=True, slots=True)
class DownPlan:
    """What `down` would stop and delete. ``data`` maps a service's data directory to its bytes.

    ``backups`` are the bytes in ``backups_place``; ``elsewhere`` are repositories that the profile has in
    places of its own, which are never deleted.
    """

    environment: str
    services: tuple[str, ...]
    data: dict[str, int]
    keep_data: bool
    backups: int
    backups_place: Path
    delete_backups: bool
    elsewhere: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing runs and there is nothing to delete."""
        going = (self.data and not self.keep_data) or (self.backups and self.delete_backups)
        return not self.services and not going


@dataclass(frozen=True, slots=True)
class DownResult:
    """How a `down` went."""

    plan: DownPlan
    seconds: float

    def document(self) -> dict[str, Any]:
        """The result for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.plan.environment,
            "stopped": list(self.plan.services),
            "data_deleted": {} if self.plan.keep_data else self.plan.data,
            "data_kept": self.plan.data if self.plan.keep_data else {},
            "backups": {
                "place": str(self.plan.backups_place),
                "bytes": self.plan.backups,
                "deleted": self.plan.delete_backups,
                "elsewhere": list(self.plan.elsewhere),
            },
            "seconds": round(self.seconds, 2),
        }


def down(
    session: Session,
    confirm: Callable[[DownPlan], None],
    argv: Sequence[str],
    *,
    keep_data: bool,
    delete_backups: bool = False,
) -> DownResult:
    """Stop the environment; delete its data, secrets and certificates unless ``keep_data``.

    ``delete_backups`` deletes its backups and their pass phrase, too.

    Raises:
        DeclinedError: the confirmation was refused; nothing has changed.
        TerraformError, ToolError: something could not be stopped; nothing has been deleted.
    """
    started = time.monotonic()
    with session.locked("down", argv) as run:
        plan = _plan(session, keep_data=keep_data, delete_backups=delete_backups)
        confirm(plan)
        with run.step("destroy"), session.reporter.progress("Stopping", len(plan.services)) as progress:
            _destroy(session, progress)
        if not keep_data:
            with run.step("delete"), session.reporter.step("Deleting the data"):
                _delete(session)
        if delete_backups:
            with run.step("delete backups"), session.reporter.step("Deleting the backups"):
                _delete_backups(session, plan)
    return DownResult(plan, time.monotonic() - started)


def _plan(session: Session, *, keep_data: bool, delete_backups: bool) -> DownPlan:
    processes = session.supervision.processes() if session.supervision.running() else {}
    running = tuple(sorted(name for name, process in processes.items() if process.pid))
    place = session.paths.backups
    return DownPlan(
        environment=session.name,
        services=running,
        data=data_sizes(session.paths.data),
        keep_data=keep_data,
        backups=_size(place) if place.is_dir() else 0,
        backups_place=place,
        delete_backups=delete_backups,
        elsewhere=_elsewhere(session),
    )


def _elsewhere(session: Session) -> tuple[str, ...]:
    backups = session.profile.backups
    places = [backups.directory] if backups.directory else []
    if isinstance(backups.second, S3Repository):
        places.append(f"s3://{backups.second.bucket}{backups.second.prefix}")
    elif backups.second is not None:
        places.append(backups.second.path)
    return tuple(places)


def data_sizes(data: Path) -> dict[str, int]:
    """Bytes on disk of each service's data directory."""
    if not data.is_dir():
        return {}
    return {entry.name: _size(entry) for entry in sorted(data.iterdir()) if entry.is_dir()}


def _size(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue  # a running database removes files of its own
    return total


def _destroy(session: Session, progress: Progress) -> None:
    """Terraform's destroy, from what is on disk: a profile that no longer renders must not prevent it."""
    if (session.paths.terraform / "terraform.tfstate").exists():
        _restore_stack(session.environment, session)
        terraform = session.terraform
        terraform.init()
        plan_file = session.paths.state / "down.tfplan"
        try:
            if terraform.plan(plan_file, destroy=True):
                terraform.apply(plan_file, on_event=lambda event: tell(progress, event))
        finally:
            plan_file.unlink(missing_ok=True)
    # A tainted resource's destroy provisioner does not run, and an interrupted start leaves processes that
    # no state knows, so the supervisor and what is left of this home are ended all the same.
    session.supervision.down()


def _restore_stack(environment: LocalEnvironment, session: Session) -> None:
    if not (session.paths.terraform / "main.tf").exists():
        write_stack(environment.bundle(session.assumed_versions()), session.paths.terraform)


def _delete(session: Session) -> None:
    paths = session.paths
    # Without its login an OpenBao counts as not set up: an `up` after this was cut off begins anew.
    (paths.openbao / openbao.APPROLE).unlink(missing_ok=True)
    # Renamed first: half of a database must never be found, and used, by an `up` after this was cut off.
    condemned = paths.home.with_name(f"{paths.home.name}.deleting")
    if condemned.exists():
        shutil.rmtree(condemned)
    if paths.home.exists():
        paths.home.rename(condemned)
    for directory in (condemned, paths.run, paths.build, paths.terraform, paths.tls, paths.openbao):
        if directory.exists():
            shutil.rmtree(directory)
    for file in (
        paths.secrets,
        paths.secret_versions,
        paths.state / "sizing.json",
        paths.state / "retirement",
        paths.state / "restore.json",
        paths.state / deployed.FILE,
    ):
        file.unlink(missing_ok=True)
    applied.forget(paths)
    if paths.backups.is_dir() and not any(paths.backups.iterdir()):
        paths.backups.rmdir()


def _delete_backups(session: Session, plan: DownPlan) -> None:
    paths = session.paths
    condemned = paths.backups.with_name(f"{paths.backups.name}.deleting")
    for directory in (condemned, paths.backups):
        if directory.exists():
            # Renamed first, as with the data: half of a repository must not be found.
            if directory != condemned:
                directory.rename(condemned)
            shutil.rmtree(condemned)
    # What is elsewhere is still encrypted with it.
    if not plan.elsewhere:
        paths.backup_key.unlink(missing_ok=True)
