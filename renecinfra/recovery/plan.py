"""What a restore would do, as one value: where from, how far, what is lost, how long, how much room. Data
only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from renecinfra.recovery.engine.recipe import Recipe
from renecinfra.recovery.engine.wal import Commit, Lsn
from renecinfra.recovery.repository import Backup


@dataclass(frozen=True, slots=True)
class Expectation:
    """Where the replay has to end, computed before it begins.

    ``last`` is the last commit that is replayed, None where there is none after the backup; ``after`` the
    first that is not. ``exact`` says that ``last`` is exactly the last one: when the newest state is asked
    for from a primary that still runs, more may come; ``floor`` is a place that is passed in any case.
    """

    last: Commit | None
    after: Commit | None
    exact: bool
    floor: str

    def document(self) -> dict[str, Any]:
        """For the state's file and for machines."""
        return {
            "last": self.last.document() if self.last else None,
            "after": self.after.document() if self.after else None,
            "exact": self.exact,
            "floor": self.floor,
        }

    @classmethod
    def from_document(cls, data: Mapping[str, Any]) -> Expectation:
        """From :meth:`document`."""
        last, after = data["last"], data["after"]
        return cls(
            Commit.from_document(last) if last else None,
            Commit.from_document(after) if after else None,
            bool(data["exact"]),
            str(data["floor"]),
        )

    def shortfall(self, fork: Lsn, last_commit: datetime | None) -> str:
        """Why a replay that ended at ``fork`` is not what was promised; empty when it is.

        ``last_commit`` is the time of the last commit that it replayed, None where that is not known.
        """
        if self.last is not None and fork <= self.last.lsn:
            return f"it ended at {fork}, before the commit of {self.last.at} at {self.last.lsn}"
        if fork < Lsn.parse(self.floor):
            return f"it ended at {fork}, before {self.floor}"
        if not self.exact:
            return ""
        if self.after is not None and fork > self.after.lsn:
            return f"it ended at {fork}, past {self.after.lsn}, where what was to be left out begins"
        if last_commit is not None and self.last is not None and last_commit != self.last.at:
            return f"its last commit is of {last_commit}, and not of {self.last.at}"
        return ""


@dataclass(frozen=True, slots=True)
class Loss:
    """What the restore leaves out that the environment has, or had, after the target.

    ``transactions`` is None where counting would take reading too much WAL; ``tables`` has changed rows by
    table, as far as a running database can say which those are. ``until`` is the newest commit known.
    """

    since: datetime | None
    until: datetime | None
    transactions: int | None
    tables: Mapping[str, int]

    @property
    def seconds(self) -> float:
        """The span of time."""
        if self.since is None or self.until is None:
            return 0.0
        return max(0.0, (self.until - self.since).total_seconds())


@dataclass(frozen=True, slots=True)
class Durations:
    """Estimates in seconds, and whether the speeds behind them were measured here or are assumed."""

    files: float
    replay: float
    checks: float
    stop: float
    measured: bool

    @property
    def total(self) -> float:
        """From the confirmation to serving again."""
        return self.files + self.replay + self.checks + self.stop


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Everything that a restore would do. ``stops`` are what stands still, for ``durations.stop`` seconds.

    ``needed`` and ``free`` are bytes where it is restored to; ``wal`` the bytes that are replayed.
    ``alternatives`` are ways that lose less, or take less, each in one sentence.
    """

    environment: str
    target: str
    backup: Backup
    recipe: Recipe
    expectation: Expectation
    loss: Loss
    wal: int
    wal_first: str
    wal_last: str
    durations: Durations
    needed: int
    free: int
    stops: tuple[str, ...]
    alternatives: tuple[str, ...]
    warnings: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The plan for machines; documented in docs/reference/json.md."""
        loss, recipe = self.loss, self.recipe
        return {
            "environment": self.environment,
            "target": self.target,
            "backup": {
                "label": self.backup.label,
                "type": self.backup.type,
                "repository": self.backup.repository,
                "stopped": self.backup.stopped.isoformat(),
                "bytes": self.backup.size,
            },
            "timeline": recipe.timeline,
            "recovery": dict(recipe.target),
            "wal": {
                "first": self.wal_first, "last": self.wal_last, "bytes": self.wal, "archived":
                recipe.archived, "sources": list(recipe.sources),
            },
            "expected": self.expectation.document(),
            "lost": {
                "since": loss.since.isoformat() if loss.since else None,
                "until": loss.until.isoformat() if loss.until else None,
                "seconds": round(loss.seconds, 3),
                "transactions": loss.transactions,
                "tables": dict(loss.tables),
            },
            "seconds": asdict(self.durations) | {"total": round(self.durations.total, 1)},
            "space": {"needed": self.needed, "free": self.free},
            "stops": list(self.stops),
            "alternatives": list(self.alternatives),
            "warnings": list(self.warnings),
        }  # fmt: skip
