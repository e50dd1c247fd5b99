"""harvest_runs: which harvest runs, which are over, and which must not begin. One runs at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from renecinfra.reference.storage import Connection

Mode = Literal["daily", "full"]

_LOCK: Final = 7_246_134  # held while a run begins; differs from the migrations'
HEARTBEAT_SECONDS: Final = 2.0
"""How often a run says that it is alive."""
STALE_SECONDS: Final = 10.0
"""A running run whose heartbeat is older than this has no process any more."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A run that must not begin, and why.

    ``delivered-twice``: the same message's run may still be alive; ask again after STALE_SECONDS.
    """

    reason: Literal["done", "running", "not-first", "delivered-twice"]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants to begin a run: the message, and the worker that got it.

    ``worker_started`` is when the worker was started, in seconds since the epoch.
    """

    task_id: str
    worker: str
    worker_started: float


def begin(connection: Connection, asker: Asker, mode: Mode, *, first: bool = False) -> int | Skipped:
    """Record that a run begins; returns its id, or why it must not begin.

    Runs whose process is gone are closed as interrupted first: those without a heartbeat, and those that
    the worker had begun before it was started anew. ``first`` begins only where there has never been a whole
    harvest.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        done = connection.execute(
            "SELECT task_id = %s FROM harvest_runs"
            " WHERE status = 'succeeded' AND (task_id = %s OR %s) LIMIT 1",
            (asker.task_id, asker.task_id, first),
        ).fetchone()
        if done is not None:
            return Skipped("done" if done[0] else "not-first")
        connection.execute(
            """UPDATE harvest_runs SET status = 'interrupted', finished_at = now(),
                      error = 'its process ended without a word'
               WHERE status = 'running'
                 AND (heartbeat_at < now() - make_interval(secs => %s)
                      OR worker = %s AND heartbeat_at < to_timestamp(%s))""",
            (STALE_SECONDS, asker.worker, asker.worker_started),
        )
        alive = connection.execute("SELECT task_id FROM harvest_runs WHERE status = 'running'").fetchone()
        if alive is not None:
            return Skipped("delivered-twice" if alive[0] == asker.task_id else "running")
        row = connection.execute(
            "INSERT INTO harvest_runs (mode, status, task_id, worker) VALUES (%s, 'running', %s, %s)"
            " RETURNING run_id",
            (mode, asker.task_id, asker.worker),
        ).fetchone()
    assert row is not None
    return int(row[0])


def abandoned(connection: Connection, worker: str, before: float) -> list[tuple[str, Mode]]:
    """Mark the runs that ``worker`` had begun before it was started anew; returns their task ids and modes.

    ``before`` is the worker's start in seconds since the epoch.
    """
    rows = connection.execute(
        """UPDATE harvest_runs SET status = 'interrupted', finished_at = now(),
                  error = 'its worker was started anew'
           WHERE status = 'running' AND worker = %s AND heartbeat_at < to_timestamp(%s)
           RETURNING task_id, mode""",
        (worker, before),
    ).fetchall()
    return [(task_id, mode) for task_id, mode in rows]


def heartbeat(connection: Connection, run_id: int, requests: int, errors: int) -> bool:
    """Say that the run is alive and how far it is; false when it was taken for dead and closed."""
    cursor = connection.execute(
        "UPDATE harvest_runs SET heartbeat_at = now(), requests = %s, errors = %s"
        " WHERE run_id = %s AND status = 'running'",
        (requests, errors, run_id),
    )
    return cursor.rowcount == 1


def finish(
    connection: Connection,
    run_id: int,
    status: Literal["succeeded", "failed", "interrupted"],
    error: str | None,
) -> None:
    """Close a run that is still open; one that another process took over stays as it is."""
    connection.execute(
        "UPDATE harvest_runs SET status = %s, finished_at = now(), heartbeat_at = now(), error = %s"
        " WHERE run_id = %s AND status = 'running'",
        (status, error, run_id),
    )


def age_of_last(connection: Connection) -> float | None:
    """Seconds since the last whole harvest ended; none where there has never been one."""
    row = connection.execute(
        "SELECT extract(epoch FROM now() - max(finished_at))::float"
        " FROM harvest_runs WHERE status = 'succeeded'"
    ).fetchone()
    return None if row is None else row[0]
