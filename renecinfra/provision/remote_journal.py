"""The journal of an environment that several machines work on: kept where all see it, and here as well.

The journal of this machine is the one that a run is written to step by step. A copy goes to where the
environment itself is when a run starts and when it ends, so that `history` tells everybody the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from renecinfra.errors import RenecError
from renecinfra.journal import Journal, Run, RunRecord, parse, records
from renecinfra.reporting import Reporter

_READS: Final = frozenset({"plan", "drift"})
"""Commands that change nothing: they need no right to write, and nobody asks later who ran them."""


class RunStore(Protocol):
    """Where the runs of an environment are kept for everybody."""

    def put(self, run: str, text: str) -> bool:
        """Keep a run's lines as they are now; False where there is no place yet. Raises RenecError."""
        ...

    def newest(self, limit: int) -> list[str]:
        """The lines of the newest runs. Raises RenecError."""
        ...


@contextmanager
def journaled(
    journal: Journal, store: RunStore, reporter: Reporter, *, command: str, argv: Sequence[str], profile: str
) -> Iterator[Run]:
    """As :meth:`Journal.running`, and kept in ``store`` too. A store that refuses stops nothing."""
    if command in _READS:
        with journal.running(command, argv, profile) as run:
            yield run
        return
    started: Run | None = None
    try:
        with journal.running(command, argv, profile) as run:
            started = run
            # What refuses now is told at the end, when it has had its chance.
            _keep(journal, store, run.id)
            yield run
    finally:
        if started is not None and (why := _keep(journal, store, started.id)):
            reporter.warn(f"this run is in the journal of this machine only: {why}")


def _keep(journal: Journal, store: RunStore, run: str) -> str:
    """Why it could not be kept; empty where it was, or where there is no place for it."""
    try:
        store.put(run, journal.text(run))
    except RenecError as error:
        return error.message
    return ""


def everybodys(journal: Journal, store: RunStore, limit: int) -> list[RunRecord]:
    """The newest runs first, at most ``limit``: those of this machine and those that are kept for everybody.

    Raises:
        RenecError: the store refuses.
    """
    kept = [record for text in store.newest(limit) for record in records(parse(text))]
    # What this machine knows of its own runs is never older.
    by_id = {record.id: record for record in (*kept, *journal.runs())}
    return sorted(by_id.values(), key=lambda record: record.started, reverse=True)[:limit]
