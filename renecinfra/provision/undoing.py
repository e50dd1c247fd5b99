"""The end of a restore: back to the database before it, or rid of that for good, or of what was begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from renecinfra.errors import RestoreError
from renecinfra.journal import Run
from renecinfra.provision.restore_result import RestoreResult
from renecinfra.provision.restoring import (
    driver_for,
    last_step,
    require_state,
    state_file,
    verified,
)
from renecinfra.provision.session import Session
from renecinfra.recovery.engine.state import RestoreState, StateFile, Step

ConfirmState = Callable[[RestoreState, str], None]
"""Asks whether to do something to a restore, saying what is lost; raises DeclinedError."""


def undo(session: Session, confirm: ConfirmState, argv: Sequence[str]) -> RestoreResult:
    """Go back to the database before the restore; can be interrupted and run again.

    Raises:
        DeclinedError: the confirmation was refused.
        RestoreError: there is nothing to go back to.
    """
    with session.locked("undo", argv) as run:
        began = time.monotonic()
        file = state_file(session)
        state = require_state(file.read(), session.name)
        if not state.adopted and not state.undoing:
            return _abort(session, run, file, state, confirm)
        confirm(
            state,
            f"This goes back to the database before the restore to {state.target}. "
            "What has been written since the restore is lost:",
        )
        driver = driver_for(session, state.source)
        state = replace(state, undoing=True)
        file.write(state)
        reporter = session.reporter
        with run.step("go back"), reporter.step("Going back to the old database"):
            state, cutover = driver.go_back(state)
        with run.step("rebuild"), reporter.progress("Rebuilding replica and receiver") as progress:
            state = driver.rebuild(state, lambda text: progress.advance(0, text))
        with run.step("protect"), reporter.step("Taking a new full backup"):
            state = driver.protect(state, "undone")
        with run.step("discard"), reporter.step("Removing the restored database"):
            driver.discard(state)
        file.remove()
        checks = verified(session, run)
        return RestoreResult(state, (), (), cutover.held, cutover.warnings, checks, time.monotonic() - began)


def finish(session: Session, confirm: ConfirmState, argv: Sequence[str]) -> int:
    """Remove the database before the restore for good; returns the bytes that it took.

    Raises:
        DeclinedError: the confirmation was refused.
        RestoreError: the restore is not done yet.
    """
    with session.locked("finish", argv) as run:
        file = state_file(session)
        state = require_state(file.read(), session.name)
        if not state.is_done(Step.DONE):
            raise RestoreError(
                "restore-unfinished",
                f"the restore {state.id} is not done: it came to {last_step(state)}",
                hint=f"run `renecinfra restore {session.name} --resume` first, or `--undo`",
            )
        confirm(
            state, "This removes the database before the restore for good; it cannot be undone afterwards:"
        )
        with run.step("discard"), session.reporter.step("Removing the old database"):
            size = driver_for(session, state.source).discard(state)
        file.remove()
        return size


def abort(session: Session, confirm: ConfirmState, argv: Sequence[str]) -> RestoreResult:
    """Give up a restore that has not touched the running database yet.

    Raises:
        RestoreError: it has, so that only ``--undo`` goes back; or there is none.
    """
    with session.locked("abort", argv) as run:
        file = state_file(session)
        return _abort(session, run, file, require_state(file.read(), session.name), confirm)


def _abort(
    session: Session, run: Run, file: StateFile, state: RestoreState, confirm: ConfirmState
) -> RestoreResult:
    began = time.monotonic()
    driver = driver_for(session, state.source)
    if state.adopted or driver.adopted(state):
        raise RestoreError(
            "restore-adopted",
            f"the restored database of {state.id} has taken the old one's place",
            hint=f"`renecinfra restore {session.name} --undo` goes back, `--resume` goes on",
        )
    confirm(state, "This removes what was restored beside; the running database is not touched:")
    with run.step("discard"), session.reporter.step("Removing what was restored beside"):
        driver.discard(state)
    file.remove()
    return RestoreResult(state, (), (), None, (), (), time.monotonic() - began)
