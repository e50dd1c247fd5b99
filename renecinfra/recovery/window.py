"""To which moments the database can be restored: from each backup on, as far as WAL goes on without a gap."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import RenecError
from renecinfra.recovery.archive import Archive
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.engine.wal import Commit, CommitReader, Segment
from renecinfra.recovery.repository import Backup, PgBackRest, base_argv

_FETCH_SECONDS: Final = 120.0
_LOOK_BACK: Final = 64


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time within which every moment can be restored.

    ``end`` is the newest commit that the archive has of it; None where it could not be read. ``missing`` is
    the segment that ends it although the archive goes on, None for the stretch that reaches the present.
    """

    start: datetime
    end: datetime | None
    timeline: int
    backups: tuple[str, ...]
    missing: Segment | None

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "start": self.start.isoformat(),
            "end": None if self.end is None else self.end.isoformat(),
            "timeline": self.timeline,
            "backups": list(self.backups),
            "missing": None if self.missing is None else self.missing.name,
        }


@dataclass(frozen=True, slots=True)
class Window:
    """The spans on the way to the present timeline, the oldest first, and those of abandoned timelines.

    ``unusable`` are backups that cannot become consistent, because WAL that was written meanwhile is missing.
    """

    timeline: int
    spans: tuple[Span, ...]
    abandoned: tuple[Span, ...]
    unusable: tuple[str, ...]

    @property
    def start(self) -> datetime | None:
        """The earliest moment."""
        return self.spans[0].start if self.spans else None

    @property
    def end(self) -> datetime | None:
        """The newest moment that the archive has; what the receiver or the primary still has comes on top."""
        return self.spans[-1].end if self.spans else None

    @property
    def gaps(self) -> tuple[tuple[datetime | None, datetime], ...]:
        """The stretches in between that cannot be restored."""
        return tuple((a.end, b.start) for a, b in zip(self.spans, self.spans[1:], strict=False))

    def covers(self, moment: datetime) -> bool:
        """Whether a moment lies in a span."""
        return any(s.start <= moment and (s.end is None or moment <= s.end) for s in self.spans)

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "timeline": self.timeline,
            "start": None if self.start is None else self.start.isoformat(),
            "end": None if self.end is None else self.end.isoformat(),
            "spans": [span.document() for span in self.spans],
            "gaps": [
                {"start": None if start is None else start.isoformat(), "end": end.isoformat()}
                for start, end in self.gaps
            ],
            "abandoned": [span.document() for span in self.abandoned],
            "unusable": list(self.unusable),
        }


CommitTime = Callable[[Segment], datetime | None]
"""When the newest commit up to a segment was; None where that cannot be read."""


def window(
    backups: Sequence[Backup], archives: Mapping[int, Archive], timeline: int, commit_time: CommitTime
) -> Window:
    """The window of one database on its present ``timeline``; ``archives`` are by repository."""
    spans: list[Span] = []
    abandoned: list[Span] = []
    usable: set[str] = set()
    for leaf in sorted({timeline, *(t for one in archives.values() for t in one.timelines)}):
        found = _spans(backups, archives, leaf, commit_time)
        usable |= {label for span in found for label in span.backups}
        if leaf == timeline:
            spans = found
        elif leaf not in _ancestors(archives, timeline):
            abandoned += found
        else:
            abandoned += _beyond(found, archives, leaf)
    labels = dict.fromkeys(backup.label for backup in backups)
    return Window(timeline, tuple(spans), tuple(abandoned), tuple(one for one in labels if one not in usable))


def _ancestors(archives: Mapping[int, Archive], timeline: int) -> set[int]:
    return {step for archive in archives.values() for step, _ in archive.path(timeline)}


def _beyond(spans: Sequence[Span], archives: Mapping[int, Archive], leaf: int) -> list[Span]:
    """Of an ancestor's spans, those with WAL after the fork: what a restore left behind."""
    left = [f.at for a in archives.values() for f in a.forks.values() if f.parent == leaf]
    newest = [s for a in archives.values() if (s := a.newest(leaf)) is not None]
    if not left or not newest or max(newest).start <= max(left):
        return []
    return list(spans[-1:])


@dataclass(frozen=True, slots=True)
class _Reach:
    """A span, and the numbers of the segments from and to which it has WAL."""

    span: Span
    first: int
    last: int

    def joined(self, later: _Reach) -> _Reach:
        """One span out of two whose WAL is continuous, or of one that begins within the other."""
        further = later if later.last >= self.last else self
        ends = [one.span.end for one in (self, later) if one.span.end is not None]
        labels = tuple(dict.fromkeys((*self.span.backups, *later.span.backups)))
        span = Span(
            self.span.start, max(ends, default=None), self.span.timeline, labels, further.span.missing
        )
        return _Reach(span, self.first, further.last)


def _spans(
    backups: Sequence[Backup], archives: Mapping[int, Archive], leaf: int, commit_time: CommitTime
) -> list[Span]:
    found: list[_Reach] = []
    for backup in sorted(backups, key=lambda one: one.stopped):
        archive = archives.get(backup.repository)
        if archive is None:
            continue
        first, needed = Segment.parse(backup.wal_first), Segment.parse(backup.wal_last)
        reach = archive.continuous(first, leaf)
        if reach.last is None or reach.last.number < needed.number:
            continue
        end = commit_time(reach.last)
        if end is not None and end < backup.stopped:
            end = backup.stopped  # nothing was committed since: the backup itself is the newest moment
        span = Span(backup.stopped, end, leaf, (backup.label,), reach.missing)
        this = _Reach(span, first.number, reach.last.number)
        if found and (found[-1].span.missing is None or this.first <= found[-1].last):
            found[-1] = found[-1].joined(this)
        else:
            found.append(this)
    return [one.span for one in found]


class ArchivedCommits:
    """Reads commits out of archived segments, keeping what was read: a segment never changes.

    Use as a context manager: segments are fetched to a directory that ends with it.
    """

    def __init__(self, tool: PgBackRest, archives: Mapping[int, Archive], system_id: str) -> None:
        self._tool = tool
        self._archives = archives
        self._system_id = system_id
        self._directory: Path | None = None
        self._reader = CommitReader(tool.database.program("pg_waldump"), self._fetch)
        self._newest: dict[Segment, Commit | None] = {}

    def __enter__(self) -> ArchivedCommits:
        base = self._tool.database.work
        self._directory = Path(tempfile.mkdtemp(prefix="commits-", dir=base))
        self._own(self._directory)
        return self

    def _own(self, path: Path) -> None:
        import os

        if os.geteuid() == 0:
            os.chown(path, *self._tool.database.identity)

    def __exit__(self, *_: object) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def newest(self, segment: Segment) -> Commit | None:
        """The newest commit in a segment or those before it."""
        if segment not in self._newest:
            first = Segment(segment.timeline, max(0, segment.number - _LOOK_BACK))
            self._newest[segment] = self._reader.newest(first, segment)
        return self._newest[segment]

    def time(self, segment: Segment) -> datetime | None:
        """When that was; None where it cannot be read."""
        try:
            commit = self.newest(segment)
        except RenecError:
            return None
        return None if commit is None else commit.at

    def _fetch(self, segment: Segment) -> Path | None:
        if self._directory is None:
            raise RuntimeError("segments are fetched within the context only")
        target = self._directory / segment.name
        if target.exists():
            return target
        for number, archive in sorted(self._archives.items()):
            if segment in archive.times and fetch(self._tool, number, self._system_id, segment, target):
                return target
        return None


def fetch(tool: PgBackRest, repository: int, system_id: str, segment: Segment, target: Path) -> bool:
    """Bring one segment out of a repository; whether it was there, and whole.

    pgBackRest asks a data directory for version and system identifier; the running one may be gone, so it is
    asked a directory with the control file alone (see :func:`keep_control_file`).
    """
    argv = base_argv(
        tool.database,
        "archive-get",
        [
            f"--pg1-path={control_directory(tool, system_id)}",
            f"--repo={repository}",
            "--no-archive-async",
            "--log-level-console=error",
        ],
    )
    done = tool.run([*argv, segment.name, str(target)], timeout=_FETCH_SECONDS, check=False)
    return done.returncode == 0


def control_directory(tool: PgBackRest, system_id: str) -> Path:
    """Where a database's control file is kept beside the backups."""
    return Path(tool.database.state) / f"control-{system_id}"


def keep_control_file(tool: PgBackRest, system_id: str) -> None:
    """Keep the running database's control file, so that its archive can be read after it is gone.

    Raises:
        RenecError: it cannot be copied.
    """
    files = OwnedFiles(tool.database.identity)
    target = control_directory(tool, system_id)
    if (target / "global" / "pg_control").exists():
        return
    files.make_directory(target / "global")
    source = Path(tool.database.data)
    files.run("cp", "--", str(source / "PG_VERSION"), str(target / "PG_VERSION"))
    files.run("cp", "--", str(source / "global" / "pg_control"), str(target / "global" / "pg_control"))
