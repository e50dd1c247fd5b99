"""`failover`: the replica becomes the primary, the old primary is fenced, and a new replica is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from renecinfra.provision.restore_result import RestoreResult
from renecinfra.provision.restoring import driver_for, go_on, refuse_unfinished, state_file
from renecinfra.provision.session import Session
from renecinfra.recovery.driver import FailoverPlan


def plan(session: Session) -> FailoverPlan:
    """What a failover would do; changes nothing.

    Raises:
        RestoreError: there is no replica that could become the primary.
    """
    with session.reporter.step("Looking at primary and replica"):
        return driver_for(session).plan_failover()


def failover(session: Session, confirm: Callable[[FailoverPlan], None], argv: Sequence[str]) -> RestoreResult:
    """Promote the replica; ``restore --resume``, ``--undo`` and ``--finish`` are for this, too.

    A primary that runs is stopped first, once the replica has all of it: then nothing is lost.

    Raises:
        DeclinedError: the confirmation was refused; nothing has changed.
        RestoreError: there is no replica, or a step failed.
    """
    with session.locked("failover", argv) as run:
        file = state_file(session)
        refuse_unfinished(file.read())
        with run.step("plan"):
            made = plan(session)
        confirm(made)
        driver = driver_for(session)
        state = driver.begin_failover(tuple(argv))
        file.write(state)
        return go_on(session, run, driver, state)
