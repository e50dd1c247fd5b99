"""`deploy` and `rollback` on the local platform: process by process, watched, and the way back.

A version is a directory that a workload's command runs in. Each process is replaced when the one before
serves again, so that with two APIs no request is lost. What clients get is read from the edge's own log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from renecinfra import rendering
from renecinfra.errors import InterruptedRunError, RenecError, UsageError
from renecinfra.kubernetes import rollout
from renecinfra.kubernetes.rollout import Look, Objectives
from renecinfra.profiles.loading import load
from renecinfra.profiles.model import Profile
from renecinfra.provision import deployed, retirement
from renecinfra.provision.bring_up import reload_services, verify
from renecinfra.provision.deployed import Deployed
from renecinfra.provision.deployment import Confirm, DeployPlan, DeployResult
from renecinfra.provision.planning import make_plan
from renecinfra.provision.rotating import require_current
from renecinfra.provision.session import Session
from renecinfra.provision.telling import tell
from renecinfra.services import home

_LOG_LINES: Final = 5000
_EDGE: Final = "edge"


@dataclass(frozen=True, slots=True)
class _Change:
    """From a profile to one with other directories."""

    before: Profile
    after: Profile
    directories: Mapping[str, tuple[str, str]]
    description: str


def deploy(
    session: Session,
    directories: Mapping[str, str],
    confirm: Confirm,
    argv: Sequence[str],
    *,
    bake: timedelta | None = None,
) -> DeployResult:
    """Bring other directories of workloads to the clients.

    Raises:
        UsageError: a workload is not there or has no command, or there is no such directory.
        ToolError: the environment is not as its profile says.
        DeclinedError: the confirmation was refused; nothing has changed.
        RenecError: of what did not serve; the version before serves again.
    """
    wanted = {name: _directory(session, name, value) for name, value in directories.items()}
    seconds = (session.profile.deployment.bake if bake is None else bake).total_seconds()
    return _bring(session, wanted, confirm, argv, seconds=seconds, what="deploy")


def rollback(session: Session, to: int | None, confirm: Confirm, argv: Sequence[str]) -> DeployResult:
    """Bring back the directories of an earlier revision; of the profile's own before the first.

    Raises:
        UsageError: there is no such revision, or nothing was deployed.
        RenecError: as for :func:`deploy`.
    """
    known = deployed.revisions(session.paths.state)
    if not known:
        raise UsageError(
            "revision-unknown",
            f"nothing was deployed to {session.name}, so there is nothing to go back from",
            hint="what runs is what the profile says",
        )
    numbers = [one.revision for one in known]
    target = to if to is not None else known[-1].revision - 1
    if target not in numbers and not (to is None and len(known) == 1):
        raise UsageError(
            "revision-unknown",
            f"{session.name} has no revision {target}",
            hint=f"revisions: {', '.join(map(str, numbers))}",
        )
    then = {
        name: new for one in known if one.revision == target for name, (new, _) in one.directories.items()
    }
    plain = load(session.workspace, session.name).profile
    names = {name for one in known for name in one.directories}
    wanted = {name: then.get(name, deployed.directory(plain, name)) for name in names}
    return _bring(session, wanted, confirm, argv, seconds=0, what=f"rollback to revision {target}")


def history(session: Session) -> list[Deployed]:
    """Every deployment that is remembered."""
    return deployed.revisions(session.paths.state)


def _directory(session: Session, name: str, value: str) -> str:
    workloads = session.profile.workloads
    known = [one for one in deployed.WORKLOADS if getattr(workloads, one).enabled]
    if name not in known:
        raise UsageError(
            "workload-unknown",
            f"{session.name} has no workload {name}",
            hint=f"workloads: {', '.join(known)}",
        )
    if getattr(workloads, name).command is None:
        raise UsageError(
            "deploy-unsupported",
            f"workloads.{name} has no command: the reference workload stands in, which has one version",
            hint=f"name workloads.{name}.command in the profile",
        )
    path = (session.workspace.root / Path(value).expanduser()).resolve()
    if not path.is_dir():
        raise UsageError(
            "workload-directory-missing",
            f"{name}={value} is not a directory",
            hint="on the local platform a version is the directory that the workload's command runs in",
        )
    return str(path)


def _bring(
    session: Session,
    wanted: Mapping[str, str],
    confirm: Confirm,
    argv: Sequence[str],
    *,
    seconds: float,
    what: str,
) -> DeployResult:
    started = time.monotonic()
    before = session.profile
    pairs = {name: (deployed.directory(before, name), new) for name, new in wanted.items()}
    plan = DeployPlan(
        session.name, "rolling", seconds, {name: two for name, two in pairs.items() if two[0] != two[1]}
    )
    with session.locked(what.partition(" ")[0], argv) as run:
        if not plan.empty:
            with run.step("plan"):
                require_current(session)
            confirm(plan)
            change = _change(session, {name: new for name, (_, new) in plan.images.items()}, what)
            with run.step("roll"):
                _rolled_or_back(session, change, seconds)
        found = deployed.revisions(session.paths.state)
        number = found[-1].revision if found else 0
    return DeployResult(plan, number, time.monotonic() - started)


def _change(session: Session, new: Mapping[str, str], what: str) -> _Change:
    plain = load(session.workspace, session.name).profile
    found = deployed.revisions(session.paths.state)
    known = dict(found[-1].directories) if found else {}
    known |= {name: (directory, deployed.directory(plain, name)) for name, directory in new.items()}
    after = deployed.with_directories(session.profile, new)
    return _Change(session.profile, after, known, what)


def _rolled_or_back(session: Session, change: _Change, seconds: float) -> None:
    """The new directories count once proven: after a kill in the middle, `up` brings the old ones back."""
    began = datetime.now(UTC)
    try:
        new = _of(session, change.after)
        _roll(new)
        _watched(new, seconds, began)
        deployed.add(
            session.paths.state,
            change.directories,
            change.description,
            session.profile.protection.keep_releases,
        )
    except InterruptedRunError as error:
        error.hint = f"run `renecinfra up {session.name}`, which brings the version before back"
        raise
    except RenecError as error:
        session.reporter.warn(f"{error.message}: going back to the version before")
        try:
            _roll(_of(session, change.before))
        except RenecError as second:
            error.details = (*error.details, f"going back failed as well: {second.message}")
            error.hint = f"run `renecinfra up {session.name}`, which goes on from here"
        else:
            error.hint = f"the version before serves again; {error.hint or ''}"
        raise


def _of(session: Session, profile: Profile) -> Session:
    """The session of another profile, under the same lock."""
    loaded = replace(session.loaded, profile=profile)
    return Session(session.workspace, loaded, session.reporter, session.lock_descriptors)


def _roll(session: Session) -> None:
    """Bring the processes to the session's profile, migrations first, one by one; then ask as a client."""
    environment = session.environment
    plan = make_plan(session)
    plan.plan_file.unlink(missing_ok=True)
    rendering.write(plan.bundle, session.paths.build)
    home.install(plan.bundle, environment.secret_files(plan.secrets), environment.host)
    reload_services(session)
    pending = {change.address for change in plan.terraform.pending}
    changed = [one.name for one in environment.services if environment.address(one.name) in pending]
    with session.reporter.progress("Replacing the processes", len(changed)) as progress:
        for name in changed:
            target = environment.address(name)
            try:
                if session.terraform.plan(plan.plan_file, targets=(target,)):
                    session.terraform.apply(plan.plan_file, on_event=lambda event: tell(progress, event))
            finally:
                plan.plan_file.unlink(missing_ok=True)
            retirement.settle(name)
    verify(session, plan)


def _watched(session: Session, seconds: float, began: datetime) -> None:
    if seconds <= 0:
        return
    with session.reporter.progress("Watching the new version") as progress:
        rollout.bake(
            lambda _elapsed: look(session.supervision.tail(_EDGE, _LOG_LINES), began),
            Objectives.of(session.profile),
            seconds,
            lambda text: progress.advance(0, text),
            every=min(5.0, max(0.5, seconds / 10)),
        )


def look(lines: Iterable[str], since: datetime) -> Look:
    """What the edge's log says that clients got since then."""
    times, errors = [], 0
    for line in lines:
        try:
            entry = json.loads(line)
            if datetime.fromisoformat(entry["time"]) < since:
                continue
            errors += int(entry["status"]) >= 500
            times.append(float(entry["seconds"]))
        except (ValueError, KeyError, TypeError):
            continue  # nginx's own messages stand between the requests
    if not times:
        return Look(None, None)
    times.sort()
    return Look(errors / len(times), times[min(len(times) - 1, int(len(times) * 0.95))])
