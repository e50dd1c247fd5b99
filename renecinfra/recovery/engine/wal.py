"""Places in the WAL, the segments that hold them, and the commits that are in those. Reads, never writes.

A segment is a file of 16 MiB; its name is timeline, upper and lower half of its number, in hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from renecinfra import process
from renecinfra.errors import RestoreError

SEGMENT_BYTES: Final = 16 << 20
_PER_LOG: Final = 0x1_0000_0000 // SEGMENT_BYTES
_NAME: Final = re.compile(r"[0-9A-F]{24}")
_COMMIT: Final = re.compile(
    r"rmgr: Transaction .* tx: +(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+), .*"
    r"desc: COMMIT(?:_PREPARED)? (?:gid [^:]*: )?(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC"
)
_DUMP_SECONDS: Final = 120


@dataclass(frozen=True, slots=True, order=True)
class Lsn:
    """A place in the WAL, in bytes from its beginning."""

    value: int

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """From ``0/3000148``; raises ValueError where it is something else."""
        high, _, low = text.partition("/")
        return cls((int(high, 16) << 32) + int(low, 16))

    def __str__(self) -> str:
        return f"{self.value >> 32:X}/{self.value & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of WAL; ``number`` counts from the beginning of the WAL, over timelines."""

    timeline: int
    number: int

    @classmethod
    def parse(cls, name: str) -> Segment:
        """From a file's name; raises ValueError where it is none of a segment."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name} is no name of a WAL segment")
        return cls(int(name[:8], 16), int(name[8:16], 16) * _PER_LOG + int(name[16:], 16))

    @classmethod
    def holding(cls, timeline: int, lsn: Lsn) -> Segment:
        """The segment of a timeline that has the byte at ``lsn``."""
        return cls(timeline, lsn.value // SEGMENT_BYTES)

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.timeline:08X}{self.number // _PER_LOG:08X}{self.number % _PER_LOG:08X}"

    @property
    def start(self) -> Lsn:
        """Where it begins."""
        return Lsn(self.number * SEGMENT_BYTES)

    def __add__(self, count: int) -> Segment:
        return Segment(self.timeline, self.number + count)


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction's commit: its id, where its record begins, and the time in it (UTC)."""

    xid: int
    lsn: Lsn
    at: datetime

    def document(self) -> dict[str, object]:
        """For a file or a machine."""
        return {"xid": self.xid, "lsn": str(self.lsn), "at": self.at.isoformat()}

    @classmethod
    def from_document(cls, data: Mapping[str, object]) -> Commit:
        """From :meth:`document`."""
        return cls(
            int(str(data["xid"])), Lsn.parse(str(data["lsn"])), datetime.fromisoformat(str(data["at"]))
        )


def parse_commits(lines: Iterable[str]) -> Iterator[Commit]:
    """The commits in what ``pg_waldump --rmgr=Transaction`` printed with TZ=UTC."""
    for line in lines:
        match = _COMMIT.match(line)
        if match is not None:
            at = datetime.fromisoformat(match["at"]).replace(tzinfo=UTC)
            yield Commit(int(match["xid"]), Lsn.parse(match["lsn"]), at)


def commits_in(waldump: str, directory: Path, first: Segment, last: Segment) -> list[Commit]:
    """The commits whose records begin in segments ``first`` to ``last``, all of which are in ``directory``.

    A record that goes on in a segment which is not there is left out; where the WAL ends, in the middle of a
    segment, is the end of the answer.

    Raises:
        RestoreError: the segments cannot be read at all.
    """
    argv = [
        waldump,
        "--rmgr=Transaction",
        f"--path={directory}",
        f"--timeline={first.timeline}",
        f"--start={first.start}",
        f"--end={(last + 1).start}",
    ]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    done = process.run(argv, env=environment, timeout=_DUMP_SECONDS, check=False, redact=False)
    found = list(parse_commits(done.stdout.splitlines()))
    if done.returncode != 0 and not found and not _is_end(done.stderr):
        raise RestoreError(
            "restore-wal-unreadable",
            f"WAL segment {first.name} cannot be read",
            details=tuple(done.stderr.strip().splitlines()[-3:]),
            hint="run `renecinfra backup ENV verify`, which names what is damaged",
        )
    return found


def _is_end(message: str) -> bool:
    """Whether pg_waldump only says that the WAL ends here, which is how every newest segment ends."""
    ends = (
        "invalid record length",
        "could not find a valid record",
        "invalid magic number 0000",
        "unexpected pageaddr",
        "could not find file",
        "there is no contrecord flag",
        "record with incorrect prev-link",
        "incorrect resource manager data checksum",
        "contrecord is requested",
        "missing contrecord",
    )
    return any(end in message for end in ends) or "could not open file" in message


Fetch = Callable[[Segment], Path | None]
"""Brings a segment here, under its own name; None where nobody has it."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The last commit that a target includes, and the first that it leaves out; None where there is none."""

    last: Commit | None
    after: Commit | None


class CommitReader:
    """Finds commits in segments that are fetched as they are needed, and no more of them than that."""

    def __init__(self, waldump: str, fetch: Fetch) -> None:
        self._waldump = waldump
        self._fetch = fetch
        self._known: dict[Segment, list[Commit]] = {}

    def commits(self, segment: Segment) -> list[Commit]:
        """The commits whose records begin in one segment; none where nobody has it."""
        if segment not in self._known:
            self._known[segment] = self._read(segment)
        return self._known[segment]

    def _read(self, segment: Segment) -> list[Commit]:
        path = self._fetch(segment)
        if path is None:
            return []
        # A commit's record may go on in the next segment, without which it cannot be read.
        following = self._fetch(segment + 1)
        last = segment if following is None else segment + 1
        return [
            one
            for one in commits_in(self._waldump, path.parent, segment, last)
            if one.lsn < (segment + 1).start
        ]

    def around(self, first: Segment, last: Segment, is_after: Callable[[Commit], bool]) -> Neighbours:
        """The last commit before the first one, in the order of the WAL, for which ``is_after`` holds.

        That order is the replay's: it ends at the first commit after its target, whatever else is behind it.
        """
        low, high = first.number, last.number
        while low < high:  # the first segment that has such a commit
            middle = (low + high) // 2
            found = self._from(Segment(first.timeline, middle), high)
            if not found or any(is_after(one) for one in found):  # nothing was committed in the rest
                high = middle
            else:
                low = middle + 1
        # Clocks of different backends are a hair apart, so that the segment before may have one already.
        start = max(first.number, low - 1)
        before = None
        for number in range(start, last.number + 1):
            for commit in self.commits(Segment(first.timeline, number)):
                if is_after(commit):
                    return Neighbours(
                        before or self.newest(first, Segment(first.timeline, start - 1)), commit
                    )
                before = commit
            if number > low and not self._fetch(Segment(first.timeline, number)):
                break
        return Neighbours(before or self.newest(first, Segment(first.timeline, start - 1)), None)

    def _from(self, segment: Segment, end: int) -> list[Commit]:
        """The commits of this segment, or of the next one that has any."""
        for number in range(segment.number, end + 1):
            found = self.commits(Segment(segment.timeline, number))
            if found:
                return found
        return []

    def newest(self, first: Segment, last: Segment) -> Commit | None:
        """The newest commit from ``last`` backwards to ``first``."""
        for number in range(last.number, first.number - 1, -1):
            found = self.commits(Segment(first.timeline, number))
            if found:
                return found[-1]
        return None

    def count(self, first: Segment, last: Segment, after: Commit | None, limit: int) -> int | None:
        """How many commits come after ``after``; None where that takes reading more than ``limit``
        segments.
        """
        start = Segment.holding(first.timeline, after.lsn) if after else first
        if last.number - start.number + 1 > limit:
            return None
        numbers = range(start.number, last.number + 1)
        found: Sequence[Commit] = [c for n in numbers for c in self.commits(Segment(first.timeline, n))]
        return sum(1 for one in found if after is None or one.lsn > after.lsn)
