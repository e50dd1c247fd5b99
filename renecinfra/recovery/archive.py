"""Which WAL a repository really has: per timeline, with every gap, and along the way to the present.

pgBackRest's ``info`` gives a first and a last segment and ``verify`` says nothing of one that was deleted, so
the files are listed and counted here. Reads, never writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from renecinfra.errors import ToolError
from renecinfra.recovery.engine.wal import SEGMENT_BYTES, Lsn, Segment
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.repository import PgBackRest, base_argv

_LIST_SECONDS: Final = 300.0
_SEGMENT: Final = re.compile(r"(?:.*/)?([0-9A-F]{24})-[0-9a-f]{40}(?:\.[a-z0-9]+)?")
_HISTORY: Final = re.compile(r"(?:.*/)?([0-9A-F]{8})\.history")
_PARENT: Final = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Gap:
    """Segments that are missing between others of a timeline, both ends included."""

    first: Segment
    last: Segment

    @property
    def count(self) -> int:
        """How many segments are missing."""
        return self.last.number - self.first.number + 1

    def __str__(self) -> str:
        return self.first.name if self.count == 1 else f"{self.first.name} to {self.last.name}"


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a timeline parts from its parent."""

    parent: int
    at: Lsn


@dataclass(frozen=True, slots=True)
class Archive:
    """One repository's WAL of one database. ``times`` are when segments arrived; ``duplicates`` came
    twice."""

    repository: int
    id: str
    times: Mapping[Segment, datetime]
    forks: Mapping[int, Fork] = field(default_factory=dict)
    duplicates: tuple[Segment, ...] = ()

    @property
    def timelines(self) -> tuple[int, ...]:
        """The timelines that there is WAL of, in order."""
        return tuple(sorted({segment.timeline for segment in self.times}))

    def segments(self, timeline: int) -> list[Segment]:
        """A timeline's segments in order."""
        return sorted(segment for segment in self.times if segment.timeline == timeline)

    def first(self, timeline: int) -> Segment | None:
        """A timeline's oldest segment."""
        return min(self.segments(timeline), default=None)

    def newest(self, timeline: int) -> Segment | None:
        """A timeline's newest segment."""
        return max(self.segments(timeline), default=None)

    def gaps(self, timeline: int, since: Segment | None = None) -> list[Gap]:
        """What is missing between a timeline's segments, or from ``since`` on, where there are any after
        it."""
        found: list[Gap] = []
        present = [one for one in self.segments(timeline) if since is None or one.number >= since.number]
        if not present:
            return found
        expected = since.number if since is not None else present[0].number
        for segment in present:
            if segment.number > expected:
                found.append(Gap(Segment(timeline, expected), Segment(timeline, segment.number - 1)))
            expected = segment.number + 1
        return found

    def path(self, timeline: int) -> list[tuple[int, Lsn | None]]:
        """The timelines that lead to one, the oldest first, each with where it was left (None: it was not).

        Raises:
            ToolError: a history file on the way is missing.
        """
        way: list[tuple[int, Lsn | None]] = [(timeline, None)]
        while (current := way[0][0]) != 1:
            fork = self.forks.get(current)
            if fork is None:
                # The history file goes with the first backup of its timeline; before that the parent is
                # unknown.
                break
            way.insert(0, (fork.parent, fork.at))
        return way

    def continuous(self, start: Segment, timeline: int) -> Continuity:
        """How far replay gets from ``start`` on the way to ``timeline``."""
        way = [step for step in self.path(timeline) if step[0] >= start.timeline]
        if not way or way[0][0] != start.timeline:
            return Continuity(None, None)
        last: Segment | None = None
        number = start.number
        for current, left in way:
            # The segment in which a timeline ends is the child's: there it is whole.
            end = None if left is None else left.value // SEGMENT_BYTES
            while (segment := Segment(current, number)) in self.times and (end is None or number < end):
                last = segment
                number += 1
            if end is not None and number < end:
                return Continuity(last, segment)
        newest = self.newest(timeline)
        missing = Segment(timeline, number)
        return Continuity(last, missing if newest is not None and newest.number > number else None)


@dataclass(frozen=True, slots=True)
class Continuity:
    """The last segment that replay reaches without a gap, and the missing one where the archive goes on
    after it."""

    last: Segment | None
    missing: Segment | None


def parse_listing(text: str, repository: int, archive_id: str) -> Archive:
    """What ``repo-ls --recurse --output=json`` printed of one archive, without the forks.

    Raises:
        ToolError: it is not what pgBackRest prints.
    """
    try:
        entries: Mapping[str, Mapping[str, object]] = json.loads(text)
        times: dict[Segment, datetime] = {}
        twice: list[Segment] = []
        for name, entry in entries.items():
            match = _SEGMENT.fullmatch(name)
            if match is None or entry["type"] != "file":
                continue
            segment = Segment.parse(match[1])
            if segment in times:
                twice.append(segment)
            times[segment] = datetime.fromtimestamp(float(str(entry.get("time", 0))), UTC)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(
            "archive-list-unreadable",
            f"pgBackRest's list of the archive cannot be understood ({type(error).__name__})",
            hint="pgBackRest 2.45 or later is needed; `renecinfra doctor` shows which one there is",
        ) from None
    return Archive(repository, archive_id, times, {}, tuple(sorted(twice)))


def history_names(text: str) -> list[str]:
    """The history files in a listing."""
    return sorted(match[1] for name in json.loads(text) if (match := _HISTORY.fullmatch(name)))


def parse_history(text: str) -> Fork | None:
    """The last parent in a history file; None where it names none."""
    found = _PARENT.findall(text)
    return Fork(int(found[-1][0]), Lsn.parse(found[-1][1])) if found else None


def scan(tool: PgBackRest, repository: int, archive_id: str) -> Archive:
    """List one archive, and read where its timelines part.

    Raises:
        RenecError: the repository cannot be read.
    """
    database = tool.database
    listing = tool.run(_list_argv(database, repository, archive_id), timeout=_LIST_SECONDS)
    archive = parse_listing(listing.stdout, repository, archive_id)
    forks = {}
    for name in history_names(listing.stdout):
        text = tool.run(_get_argv(database, repository, f"{archive_id}/{name}.history"), timeout=60.0).stdout
        fork = parse_history(text)
        if fork is not None:
            forks[int(name, 16)] = fork
    return Archive(repository, archive_id, archive.times, forks, archive.duplicates)


def _list_argv(database: ProtectedDatabase, repository: int, archive_id: str) -> list[str]:
    path = f"archive/{database.stanza}/{archive_id}"
    argv = base_argv(database, "repo-ls", [f"--repo={repository}", "--recurse", "--output=json"])
    return [*(word for word in argv if not word.startswith("--stanza=")), path]


def _get_argv(database: ProtectedDatabase, repository: int, name: str) -> list[str]:
    return [*base_argv(database, "repo-get", [f"--repo={repository}"]), f"archive/{database.stanza}/{name}"]


def required(starts: Iterable[Segment]) -> Mapping[int, Segment]:
    """From which segment on each timeline is needed, given where backups begin."""
    found: dict[int, Segment] = {}
    for start in starts:
        if start.timeline not in found or start < found[start.timeline]:
            found[start.timeline] = start
    return found


def all_gaps(archive: Archive, starts: Sequence[Segment]) -> list[Gap]:
    """Every gap that a restore from one of the backups could meet, on each timeline."""
    needed = required(starts)
    found: list[Gap] = []
    for timeline in archive.timelines:
        since = needed.get(timeline)
        parent = archive.forks.get(timeline)
        if since is None and parent is not None:
            # A timeline that was forked off is needed from the fork on, whichever backup replay began with.
            since = Segment(timeline, parent.at.value // SEGMENT_BYTES)
        found += archive.gaps(timeline, since)
        end = _left_at(archive, timeline)
        newest = archive.newest(timeline)
        if end is not None and newest is not None and newest.number < end - 1:
            found.append(Gap(newest + 1, Segment(timeline, end - 1)))
    return found


def gaps_since(archive: Archive, start: Segment) -> list[Gap]:
    """Gaps that a restore to the present would meet, were it to begin with the backup that begins in
    ``start``."""
    latest = max(archive.timelines, default=start.timeline)
    found: list[Gap] = []
    for timeline, _ in archive.path(latest):
        if timeline < start.timeline:
            continue
        fork = archive.forks.get(timeline)
        since = start
        if timeline > start.timeline and fork is not None:
            since = Segment(timeline, max(start.number, fork.at.value // SEGMENT_BYTES))
        found += archive.gaps(timeline, Segment(timeline, since.number))
        end, newest = _left_at(archive, timeline), archive.newest(timeline)
        if timeline != latest and end is not None and newest is not None and newest.number < end - 1:
            found.append(Gap(newest + 1, Segment(timeline, end - 1)))
    return found


def _left_at(archive: Archive, timeline: int) -> int | None:
    """The segment number in which a child of a timeline begins; the latest child's."""
    ends = [fork.at.value // SEGMENT_BYTES for fork in archive.forks.values() if fork.parent == timeline]
    return max(ends, default=None)
