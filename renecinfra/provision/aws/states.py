"""Terraform's state: its lock explained and removed, its history, and an older one brought back."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renecinfra.errors import LockedError, ToolError
from renecinfra.locking import read_holder
from renecinfra.platforms.aws import state as states
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.state import StateLock, StateVersion
from renecinfra.provision.aws import bootstrapping
from renecinfra.provision.aws.session import AwsSession


@dataclass(frozen=True, slots=True)
class LockReport:
    """A lock, and whether the run that took it can still be alive."""

    environment: str
    lock: StateLock
    alive: bool
    why: str

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        lock = self.lock
        return {
            "environment": self.environment,
            "id": lock.id,
            "who": lock.who,
            "operation": lock.operation,
            "created": lock.created.isoformat() if lock.created else None,
            "terraform": lock.terraform,
            "may_be_alive": self.alive,
            "why": self.why,
        }


def lock_report(session: AwsSession) -> LockReport | None:
    """The state's lock, explained; None where there is none.

    Raises:
        ToolError: AWS cannot be asked.
    """
    session.aws.require_account()
    lock = session.state.lock()
    if lock is None:
        return None
    alive, why = lock.life(held_here=read_holder(session.paths.lock) is not None)
    return LockReport(session.name, lock, alive, why)


def unlock(session: AwsSession, report: LockReport, argv: Sequence[str]) -> None:
    """Remove the lock that was explained, and no other.

    Raises:
        LockedError: a run of this machine holds the environment.
        TerraformError: the lock is another one by now.
    """
    with (
        session.locked("unlock", argv) as run,
        run.step("unlock"),
        session.reporter.step("Removing the lock"),
    ):
        prepare(session)
        session.terraform().force_unlock(report.lock.id)


def history(session: AwsSession) -> list[StateVersion]:
    """The state's versions, newest first.

    Raises:
        ToolError: AWS cannot be asked.
    """
    session.aws.require_account()
    return session.state.history()


@dataclass(frozen=True, slots=True)
class Recovery:
    """What bringing an older state back means for what Terraform knows."""

    environment: str
    version: str
    forgotten: tuple[str, ...]
    remembered: tuple[str, ...]
    serial: int

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "version": self.version,
            "serial": self.serial,
            "forgotten": list(self.forgotten),
            "remembered": list(self.remembered),
        }


def recover(
    session: AwsSession, version: str, confirm: Callable[[Recovery], None], argv: Sequence[str]
) -> Recovery:
    """Make an older version of the state the current one. The one that is current now stays in the history.

    Raises:
        DeclinedError: the confirmation was refused.
        ToolError, UsageError: there is no such version, or it is of another environment.
        LockedError, TerraformError: the state is locked, or changed meanwhile.
    """
    with session.locked("state recover", argv) as run:
        session.aws.require_account()
        session.state.require_version()
        if (held := session.state.lock()) is not None:
            raise LockedError(
                "state-locked",
                f"Terraform's state is locked by {held.who} ({held.operation})",
                hint=f"wait for that run, or see `renecinfra unlock {session.name}`",
            )
        versions = session.state.history()
        current = next((one for one in versions if one.current), None)
        if current is None:
            raise ToolError(
                "state-missing",
                f"{session.name} has no current state",
                hint="`renecinfra state history ENV` lists what there is",
            )
        older, newest = session.state.read(version), session.state.read(current.id)
        wanted = states.successor(older, newest)
        before, after = states.addresses(newest), states.addresses(older)
        recovery = Recovery(
            session.name,
            version,
            tuple(sorted(before - after)),
            tuple(sorted(after - before)),
            wanted["serial"],
        )
        confirm(recovery)
        with run.step("recover"), session.reporter.step("Bringing the older state back"):
            prepare(session)
            _push(session, wanted)
        # Terraform counts on while it writes.
        return replace(recovery, serial=int(session.state.current().get("serial", 0)))


def prepare(session: AwsSession) -> None:
    """Have Terraform know its backend.

    Raises:
        TerraformError: it refuses.
    """
    bootstrapping.require(session)
    session.write_stack(values.variables(session.profile, 0))
    session.terraform().init()


def _push(session: AwsSession, state: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory(dir=session.paths.state, prefix="state-") as directory:
        file = Path(directory) / "state.json"  # it holds sensitive values: it is ours alone, and gone at once
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(state, stream)
        session.terraform().push_state(file)
