"""Where WAL can be had from, and how much of it there is on one timeline and those that it descends from."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from renecinfra import process
from renecinfra.errors import RestoreError
from renecinfra.recovery.engine import restore_command
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.engine.wal import SEGMENT_BYTES, Lsn, Segment
from renecinfra.recovery.primary import system_identifier
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.repository import PgBackRest, base_argv

_ARCHIVED: Final = re.compile(r"([0-9A-F]{24})-[0-9a-f]{40}")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HEAD_BYTES: Final = 16
_LIST_HEADS: Final = """\
cd "$1" || exit 0
for file in 0*; do
    [ -f "$file" ] && printf '%s %s\\n' "$file" "$(od -An -tx1 -w16 -N16 -- "$file")"
done
"""
_LIST_SECONDS: Final = 300.0
_FETCH_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Chain:
    """A timeline with those before it: ``forks`` has each earlier one and the place where it was left."""

    timeline: int
    forks: tuple[tuple[int, Lsn], ...] = ()

    @classmethod
    def parse(cls, timeline: int, history: str) -> Chain:
        """From PostgreSQL's history file of the timeline."""
        forks = []
        for line in history.splitlines():
            fields = line.split()
            if len(fields) >= 2 and fields[0].isdigit() and "/" in fields[1]:
                forks.append((int(fields[0]), Lsn.parse(fields[1])))
        return cls(timeline, tuple(forks))

    def segment(self, number: int) -> Segment:
        """The segment of that number as this timeline's history has it."""
        for timeline, fork in self.forks:
            # The segment in which a timeline ends is begun anew by the next one, with a copy of what was in
            # it.
            if number < fork.value // SEGMENT_BYTES:
                return Segment(timeline, number)
        return Segment(self.timeline, number)

    def includes(self, timeline: int, lsn: Lsn) -> bool:
        """Whether a place on a timeline is in this one's history."""
        if timeline == self.timeline:
            return True
        return any(timeline == ancestor and lsn <= fork for ancestor, fork in self.forks)


def missing(chain: Chain, have: set[Segment], first: int, last: int) -> Segment | None:
    """The first segment from number ``first`` to ``last`` that is not there."""
    for number in range(first, last + 1):
        segment = chain.segment(number)
        if segment not in have:
            return segment
    return None


class WalSources:
    """The archive of one database and the directories that may have what it has not yet."""

    def __init__(
        self,
        database: ProtectedDatabase,
        archive_id: str,
        directories: Sequence[Path],
        work: Path,
        *,
        control: Path | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            database: what is protected.
            archive_id: the part of the archive that is of the present database (``15-1``).
            control: a directory with the database's control file, where its own may be gone.
            directories: further directories with WAL, the most complete first.
            work: a directory for fetched segments; removed by :meth:`close`.
        """
        self.database = database
        self.directories = tuple(directories)
        self._archive_id = archive_id
        self._work = work
        self._control = control
        self._files = OwnedFiles(database.identity)
        self._written = False

    def archived(self, repository: int = 1) -> set[Segment]:
        """Every segment that a repository has.

        Raises:
            RenecError: it cannot be read.
        """
        tool = PgBackRest(self.database)
        options = [f"--repo={repository}", "--recurse", "--output=text"]
        argv = [
            *base_argv(self.database, "repo-ls", options),
            f"archive/{self.database.stanza}/{self._archive_id}",
        ]
        done = tool.run(argv, timeout=_LIST_SECONDS, check=False)
        if done.returncode != 0:
            from renecinfra.recovery.repository import failure

            raise failure(self.database, argv, done)
        return {Segment.parse(name) for name in _ARCHIVED.findall(done.stdout)}

    def elsewhere(self) -> set[Segment]:
        """Every segment that one of the directories has, whole or in part.

        PostgreSQL renames old segments to names to come, and makes empty ones: those do not count. Which
        they are is seen from the address in a segment's first page.
        """
        found: set[Segment] = set()
        for directory in self.directories:
            done = self._files.run("/bin/sh", "-c", _LIST_HEADS, "sh", str(directory), check=False)
            found |= set(_begun(done.stdout.splitlines()))
        return found

    def history(self, timeline: int) -> Chain:
        """The timeline's history.

        Raises:
            RestoreError: nobody has it.
        """
        if timeline == 1:
            return Chain(1)
        name = f"{timeline:08X}.history"
        if self._bring(name, self._work / name) is None:
            raise RestoreError(
                "restore-timeline-missing",
                f"the history of timeline {timeline} is neither in the archive nor anywhere else",
                hint="give a target before the last restore or failover; `backup ENV list` shows when "
                "that was",
            )
        return Chain.parse(timeline, self._files.read(self._work / name) or "")

    def fetch(self, chain: Chain, segment: Segment) -> Path | None:
        """Bring a segment of the chain's timeline here, under that timeline's name; None where nobody has
        it.
        """
        path = self._work / segment.name
        if self._files.exists(path):
            return path
        return self._bring(chain.segment(segment.number).name, path)

    def _bring(self, name: str, path: Path) -> Path | None:
        if not self._written:
            self._files.make_directory(self._work)
            options = [f"--pg1-path={self._control}"] if self._control is not None else []
            options += [
                "--no-archive-async",
                f"--lock-path={self._work / 'lock'}",
                f"--log-path={self._work}",
            ]
            get = [
                "env",
                "-i",
                f"PATH={_PATH}",
                "LC_ALL=C.UTF-8",
                *base_argv(self.database, "archive-get", options),
            ]
            self._files.write(self._work / "fetch.sh", restore_command.script(get, None, self.directories))
            self._written = True
        done = process.run(
            ["/bin/sh", str(self._work / "fetch.sh"), name, str(path)],
            env={"PATH": _PATH, "LC_ALL": "C"},
            timeout=_FETCH_SECONDS,
            check=False,
            identity=self.database.identity,
            cwd=Path("/"),
        )
        return path if done.returncode == 0 else None

    def close(self) -> None:
        """Remove what was fetched."""
        self._files.remove(self._work)


def _begun(lines: Iterable[str]) -> Iterable[Segment]:
    """Segments whose first page is their own, from lines of a name and its first 16 bytes in hexadecimal."""
    for line in lines:
        name, *head = line.split()
        try:
            segment = Segment.parse(name.removesuffix(".partial"))
        except ValueError:
            continue
        # src/include/access/xlog_internal.h: magic (2), info (2), timeline (4), address of the page (8).
        if len(head) == _HEAD_BYTES and int.from_bytes(bytes.fromhex("".join(head[8:])), sys.byteorder) == (
            segment.start.value
        ):
            yield segment


def is_of(directory: Path, system_id: str) -> bool:
    """Whether WAL in a directory is of a database: segments of others have the same names."""
    if directory.name == "pg_wal":
        return system_identifier(str(directory.parent)) == system_id
    return directory.name.startswith(f"{system_id}-")
