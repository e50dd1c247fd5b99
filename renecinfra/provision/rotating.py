"""`secrets rotate`: a new version, its consumers one by one, proof, and only then the end of the old one.

Both versions are valid while consumers go from one to the other. When something fails, the old value becomes
the current version again, and those that had the new one are brought back. Killed anywhere, the new version
is current and both are valid: the next `up` finishes the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from renecinfra import rendering
from renecinfra.errors import BugError, InterruptedRunError, RenecError, ToolError
from renecinfra.platforms.local import rotation
from renecinfra.provision import applied, retirement
from renecinfra.provision.bring_up import reload_services, verify
from renecinfra.provision.planning import UpPlan, make_plan, versions_of
from renecinfra.provision.session import Session
from renecinfra.provision.telling import tell
from renecinfra.secrets.rotation import WritableStore, new_value, require_rotatable
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services import home

Confirm = Callable[[str, int], None]
"""Shows which reference gets which version, and asks; raises DeclinedError when the answer is no."""


@dataclass(frozen=True, slots=True)
class RotateResult:
    """What a rotation did; ``before`` and ``after`` are versions."""

    environment: str
    reference: str
    before: int
    after: int
    restarted: tuple[str, ...]
    seconds: float

    def document(self) -> dict[str, Any]:
        """The result for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "reference": self.reference,
            "before": self.before,
            "after": self.after,
            "restarted": list(self.restarted),
            "seconds": round(self.seconds, 2),
        }


def rotate(
    session: Session,
    store: WritableStore,
    reference: str,
    confirm: Confirm,
    argv: Sequence[str],
    *,
    grace: timedelta = timedelta(0),
) -> RotateResult:
    """Give a secret a new random value, without losing a request where there are two of each consumer.

    ``grace`` is how long the old value stays valid after every consumer of ours has the new one: for an API
    key, whose other users have to be told.

    Raises:
        UsageError: the secret's value is not for us to make.
        ToolError: the environment is not as its profile says, so that more than the secret would change.
        DeclinedError: the confirmation was refused; nothing has changed.
        RenecError: of whatever failed; the old value is current again.
    """
    started = time.monotonic()
    require_rotatable(session.profile, reference)
    with session.locked("secrets rotate", argv) as run:
        with run.step("plan"):
            before = require_current(session)
        old = before[reference]
        confirm(reference, old.version + 1)
        with run.step("write"):
            written = store.put(reference, new_value(), old.version)
        try:
            with run.step("roll"):
                plan, restarted = _roll(session, _Turn(reference, written, before))
            with run.step("prove"):
                _prove(session, plan)
        except InterruptedRunError as error:
            error.hint = f"old and new value are both valid; run `renecinfra up {session.name}` to finish"
            raise
        except RenecError as error:
            with run.step("undo"):
                _undo(session, store, _Turn(reference, written, before), error)
            raise
        with run.step("retire"):
            time.sleep(grace.total_seconds())
            _retire(session, plan)
    seconds = time.monotonic() - started
    return RotateResult(session.name, reference, old.version, written, restarted, seconds)


@dataclass(frozen=True, slots=True)
class _Turn:
    """From the secrets ``before`` to version ``after`` of one reference."""

    reference: str
    after: int
    before: ResolvedSecrets

    def overlapping(self, secrets: ResolvedSecrets) -> ResolvedSecrets:
        """The secrets with the old value beside the new one, for consumers that can take both."""
        both = replace(secrets[self.reference], previous=self.before[self.reference].value)
        return {**secrets, self.reference: both}


def require_current(session: Session) -> ResolvedSecrets:
    """The secrets of an environment that is as its profile says.

    Raises:
        ToolError: it is not.
    """
    plan = make_plan(session)
    plan.plan_file.unlink(missing_ok=True)
    if not plan.empty:
        raise ToolError(
            "environment-not-current",
            f"{session.name} is not as its profile says, so more than the secret would change",
            hint=f"run `renecinfra up {session.name}` first",
            details=(
                *(f"{change.address}: {change.action}" for change in plan.terraform.pending),
                *(f"{change.path}: {change.kind}" for change in plan.files),
                *(f"{name} does not serve: {seen}" for name, seen in plan.dead.items()),
            ),
        )
    return plan.secrets


def _roll(session: Session, turn: _Turn) -> tuple[UpPlan, tuple[str, ...]]:
    """Bring the environment to the version that is current now, one service after another.

    Terraform does each step, so that its state says what runs.
    """
    environment = session.environment
    plan = make_plan(session)
    plan.plan_file.unlink(missing_ok=True)
    if plan.secrets[turn.reference].version != turn.after:
        raise BugError("rotate-version", f"{turn.reference} was written and is not read back")
    with session.reporter.step("Letting the new value in"):
        retirement.begin(session, turn.reference)
        rotation.prepare(session.profile, environment.host, plan.secrets)
    _install(session, plan, turn.overlapping(plan.secrets))
    reload_services(session)
    pending = {change.address for change in plan.terraform.pending}
    changed = [one.name for one in environment.services if environment.address(one.name) in pending]
    if unknown := pending - {environment.address(name) for name in changed}:
        raise BugError("rotate-plan", f"a new version would change {', '.join(sorted(unknown))}")
    with session.reporter.progress("Restarting the consumers", len(changed)) as progress:
        for name in changed:
            target = environment.address(name)
            if session.terraform.plan(plan.plan_file, targets=(target,)):
                session.terraform.apply(plan.plan_file, on_event=lambda event: tell(progress, event))
            plan.plan_file.unlink(missing_ok=True)
            retirement.settle(name)
    return plan, tuple(changed)


def _install(session: Session, plan: UpPlan, secrets: ResolvedSecrets) -> None:
    rendering.write(plan.bundle, session.paths.build)
    home.install(plan.bundle, session.environment.secret_files(secrets), session.environment.host)
    applied.remember(session.paths, versions_of(plan.secrets), plan.bundle)


def _prove(session: Session, plan: UpPlan) -> None:
    with session.reporter.step("Logging in with the new value"):
        rotation.prove(session.profile, session.environment.host, plan.secrets)
    verify(session, plan)
    require_current(session)


def _retire(session: Session, plan: UpPlan) -> None:
    with session.reporter.step("Retiring the old value"):
        retirement.finish(session, plan)


def _undo(session: Session, store: WritableStore, turn: _Turn, error: RenecError) -> None:
    """Make the old value current again, in a version of its own; what fails here is said beside ``error``."""
    session.reporter.warn(f"{error.message}: going back to the old value")
    try:
        back = store.put(turn.reference, turn.before[turn.reference].value, turn.after)
        plan, _ = _roll(session, _Turn(turn.reference, back, turn.before))
        verify(session, plan)
        rotation.retire(session.profile, session.environment.host, plan.secrets)
        retirement.done(session)
    except RenecError as second:
        error.details = (*error.details, f"going back failed as well: {second.message}")
        error.hint = f"run `renecinfra up {session.name}`, which goes on from here"
    else:
        error.hint = f"version {back} has the old value again and everything runs with it; {error.hint or ''}"
