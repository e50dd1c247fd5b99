"""What is restored, how far it has come, and where it ended. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from renecinfra.recovery.engine.wal import Lsn


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what is restored: the backup, how far its WAL is replayed, and where WAL comes from.

    ``target`` are PostgreSQL's ``recovery_target…`` settings without the timeline and the action; empty for
    all the WAL that there is. ``archived`` is the newest segment that the archive is known to have on
    ``timeline``; ``begins`` is the timeline that the backup is of.
    """

    label: str
    repository: int
    timeline: int
    target: Mapping[str, str]
    archived: str | None
    sources: tuple[str, ...]
    begins: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """Where replaying has got to; ``at`` is the time of the last commit, None before the first."""

    lsn: Lsn
    at: datetime | None
    ended: bool


@dataclass(frozen=True, slots=True)
class End:
    """Where a replay ended: ``fork`` is the first byte that is not replayed, ``timeline`` begins there.

    ``last_commit`` is the time of the last commit that was replayed, None where there was none or where it
    can no longer be asked, because the server was started again since.
    """

    timeline: int
    fork: Lsn
    last_commit: datetime | None
