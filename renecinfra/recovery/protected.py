"""What recovery knows of a database that is protected: places, programs, repositories, policy. Data only.

A platform makes it from the profile and renders it as JSON for the ``backups`` service. It holds no secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

READY_MOST: Final = 16
"""How many segments may wait for the archive: 256 MiB."""


@dataclass(frozen=True, slots=True)
class RepositoryPlace:
    """Where one repository is: ``location`` is a directory, or ``s3://BUCKET/PREFIX``."""

    number: int
    kind: Literal["posix", "s3"]
    location: str


@dataclass(frozen=True, slots=True)
class Policy:
    """What was promised, in seconds, and when what is due, as cron schedules in UTC.

    ``incremental_wal`` is the WAL in bytes after which an incremental backup is taken before its time,
    because replaying WAL is what makes a restore long. ``drill`` is None where none is scheduled.
    """

    rpo: float
    rto: float
    retention: float
    archive_timeout: float
    full: str
    incremental: str
    incremental_wal: int
    verify: str
    drill: str | None
    drill_max_age: float
    receiver: bool


@dataclass(frozen=True, slots=True)
class ProtectedDatabase:
    """One environment's primary and its backups, as this machine has them.

    ``programs`` are absolute paths by plain name (``pgbackrest``, ``pg_waldump``, ``postgres`` …). ``config``
    is pgBackRest's configuration and ``secrets`` the directory with its secret part; ``data`` the primary's
    data directory, ``socket`` and ``port`` where it listens. ``state`` is a directory of the service user's
    for records and the lineage, which outlives the environment, and ``work`` one that does not, with
    pgBackRest's spool, locks and logs; ``receiver`` the directory above those of the WAL receiver; ``broker``
    Redis' directory with the append-only file, empty without one. ``uid`` and ``gid`` own all of it:
    programs run as them.
    """

    environment: str
    stanza: str
    programs: Mapping[str, str]
    config: str
    secrets: str
    data: str
    socket: str
    port: int
    database: str
    owner: str
    state: str
    work: str
    receiver: str
    uid: int
    gid: int
    repositories: tuple[RepositoryPlace, ...]
    policy: Policy
    assertions: Mapping[str, str] = field(default_factory=dict)
    broker: str = ""

    @property
    def scratch(self) -> Path:
        """Where drills and verifications restore to."""
        return Path(self.work) / "scratch"

    @property
    def identity(self) -> tuple[int, int]:
        """The user and group that programs run as."""
        return self.uid, self.gid

    def program(self, name: str) -> str:
        """The absolute path of a program."""
        return self.programs[name]

    def to_json(self) -> str:
        """For the service; see :func:`load`."""
        values = _values(self) | {
            "programs": dict(self.programs),
            "assertions": dict(self.assertions),
            "repositories": [_values(place) for place in self.repositories],
            "policy": _values(self.policy),
        }
        # A line per item, without the slow encoder that indents.
        return json.dumps(values, sort_keys=True, separators=(",\n", ": ")) + "\n"


def _values(value: RepositoryPlace | Policy | ProtectedDatabase) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in fields(value)}


def load(path: Path) -> ProtectedDatabase:
    """Read what :meth:`ProtectedDatabase.to_json` wrote.

    Raises:
        OSError, ValueError, TypeError: it is not there, or not of this version.
    """
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    values["repositories"] = tuple(RepositoryPlace(**one) for one in values["repositories"])
    values["policy"] = Policy(**values["policy"])
    return ProtectedDatabase(**values)
