"""What is remembered between runs, one JSON object a line: backups, verifications, drills, restore points.

Kept beside the backups and written by the command line and by the service. A line is appended whole and
synced; one that was cut off by a crash is the last, and is left out.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from renecinfra.recovery.protected import ProtectedDatabase

READY: Final = "ready.json"
"""Below ``work``, once the database that runs has a verified backup: its system identifier, when."""
STATE: Final = "state.json"
"""Below ``work``: what the service does now, and what it failed at."""
OBSERVATION: Final = "observation.json"
"""Below ``work``: how recovery stands."""

_NAME: Final = "records.jsonl"
_LINE_MOST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened: ``kind`` is ``backup``, ``verify``, ``drill``, ``expire`` or
    ``restore-point``."""

    kind: str
    at: datetime
    ok: bool = True
    facts: dict[str, Any] = field(default_factory=dict)


class Records:
    """The records of one environment."""

    def __init__(self, database: ProtectedDatabase) -> None:
        self._file = OwnedLines(Path(database.state) / _NAME, database.identity)

    def append(self, kind: str, *, ok: bool = True, at: datetime | None = None, **facts: Any) -> Record:
        """Remember something; ``facts`` must be JSON and hold no secret.

        Raises:
            OSError: it cannot be written.
        """
        record = Record(kind, at or datetime.now(UTC), ok, facts)
        self._file.append({"kind": kind, "at": record.at.isoformat(), "ok": ok, **facts})
        return record

    def all(self, *kinds: str) -> list[Record]:
        """Everything, or what is of these kinds, in the order in which it happened."""
        return [record for record in self._records() if not kinds or record.kind in kinds]

    def last(self, kind: str, *, ok: bool | None = None) -> Record | None:
        """The newest of a kind, or the newest that went well, or not."""
        found = [one for one in self.all(kind) if ok is None or one.ok == ok]
        return found[-1] if found else None

    def _records(self) -> Iterator[Record]:
        for line in self._file.read():
            facts = dict(line)
            kind, at = facts.pop("kind"), datetime.fromisoformat(facts.pop("at"))
            yield Record(kind, at, bool(facts.pop("ok", True)), facts)


class OwnedLines:
    """A file of JSON lines in a directory of the service user's, whoever writes it."""

    def __init__(self, path: Path, identity: tuple[int, int]) -> None:
        self._path = path
        self._identity = identity

    def append(self, document: dict[str, Any]) -> None:
        """Add one line, whole and on disk.

        Raises:
            OSError: it cannot be written.
        """
        text = json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.geteuid() == 0:
                os.fchown(descriptor, *self._identity)
            _drop_fragment(descriptor)
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self) -> list[dict[str, Any]]:
        """Every line; none where there is no file.

        Raises:
            ValueError: a line that is not the last is no JSON.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        with os.fdopen(descriptor, encoding="utf-8") as stream:
            lines = stream.read().split("\n")
        found = []
        for number, line in enumerate(lines):
            if not line:
                continue
            try:
                found.append(json.loads(line))
            except ValueError:
                # Without its end it is being written, or was when a crash came; the next append drops it.
                if number < len(lines) - 1:
                    raise ValueError(f"{self._path}: line {number + 1} is damaged") from None
        return found


def _drop_fragment(descriptor: int) -> None:
    """Cut off a line that a crash left without its end."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    start = max(0, size - _LINE_MOST)
    os.ftruncate(descriptor, start + os.pread(descriptor, size - start, start).rfind(b"\n") + 1)


def write_document(path: Path, document: Any, identity: tuple[int, int]) -> None:
    """Replace a JSON file of the service user's at once.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        if os.geteuid() == 0:
            os.fchown(stream.fileno(), *identity)
        json.dump(document, stream, indent=1, sort_keys=True)
    temporary.replace(path)


def read_document(path: Path) -> Any:
    """What :func:`write_document` wrote; None where there is nothing that can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        try:
            return json.load(stream)
        except ValueError:
            return None
