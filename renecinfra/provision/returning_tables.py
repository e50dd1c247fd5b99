"""`restore --table`: single tables of a moment, brought into the running database; nothing is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from renecinfra.errors import RestoreError
from renecinfra.provision.restoring import Confirm, driver_for, refuse_unfinished, state_file
from renecinfra.provision.session import Session
from renecinfra.recovery.engine.tables import TableReturn
from renecinfra.recovery.plan import Loss
from renecinfra.recovery.targets import RecoveryTarget


@dataclass(frozen=True, slots=True)
class TablesResult:
    """The tables that came back."""

    environment: str
    target: str
    tables: tuple[TableReturn, ...]

    def document(self) -> dict[str, Any]:
        """The result for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "target": self.target,
            "tables": [{"name": one.name, "into": one.where, "rows": one.rows} for one in self.tables],
        }


def return_tables(
    session: Session,
    target: RecoveryTarget,
    names: Sequence[str],
    confirm: Confirm,
    argv: Sequence[str],
    *,
    from_backup: str | None,
) -> TablesResult:
    """Restore beside, copy the tables into the running database, remove what was restored.

    Raises:
        DeclinedError: the confirmation was refused; nothing has changed.
        RestoreError: the target cannot be reached, or a table was not there, or is not taken.
    """
    with session.locked("restore", argv) as run:
        refuse_unfinished(state_file(session).read())
        driver = driver_for(session)
        if not driver.serves():
            raise RestoreError(
                "restore-table-nowhere",
                f"the primary of {session.name} does not run, so that there is nothing to bring a table "
                "back into",
                hint=f"restore all of it: `renecinfra restore {session.name} --to TIME`",
            )
        with run.step("plan"), session.reporter.step("Planning the restore"):
            made = driver.plan(target, from_backup=from_backup)
            # Nothing stands still, and nothing is left out of what there is.
            made = replace(made, stops=(), loss=Loss(None, None, 0, {}))
        confirm(made)
        state = driver.begin(made, tuple(argv))
        try:
            with (
                run.step("fetch"),
                session.reporter.progress(f"Bringing the files of backup {made.backup.label}") as progress,
            ):
                state = driver.fetch(state, lambda text: progress.advance(0, text))
            with run.step("replay"), session.reporter.progress("Replaying WAL") as progress:
                state = driver.replay(state, lambda seen: progress.advance(0, f"at {seen.lsn}"))
            with run.step("tables"), session.reporter.step("Bringing the tables back"):
                tables = driver.return_tables(state, names)
        finally:
            with run.step("discard"):
                driver.discard(state)
        return TablesResult(session.name, made.target, tuple(tables))
