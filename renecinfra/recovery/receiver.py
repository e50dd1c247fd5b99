"""What the WAL receiver has written, and what of it can go: what every repository has, too."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

from renecinfra.recovery.engine.wal import Segment
from renecinfra.recovery.observation import Observation
from renecinfra.recovery.protected import ProtectedDatabase

_NAME_LENGTH: Final = 24
KEPT: Final = 4
"""Segments that stay although they are archived: 64 MiB."""


def directories(database: ProtectedDatabase) -> list[Path]:
    """One for each system identifier and timeline that it began with, the newest last."""
    try:
        found = [
            path for path in Path(database.receiver).iterdir() if path.is_dir() and not path.is_symlink()
        ]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda path: path.stat().st_mtime)


def prune(database: ProtectedDatabase, seen: Observation) -> int:
    """Remove segments that can be had from the archive; how many. Nothing goes of a database that is not
    current.

    A segment goes only once the primary was told that a later one is archived, and the archive has no gap.
    """
    primary = seen.primary
    continuous = [finding.ok for finding in seen.findings if finding.name.startswith("continuity")]
    if primary is None or primary.archived is None or not continuous or not all(continuous):
        return 0
    try:
        archived = Segment.parse(primary.archived[:24])
    except ValueError:
        return 0
    removed = 0
    newest = directories(database)
    for directory in newest:
        if not directory.name.startswith(f"{primary.system_id}-"):
            continue
        for path in directory.iterdir():
            name = path.name.removesuffix(".partial")
            if len(name) != _NAME_LENGTH:
                continue
            segment = Segment.parse(name)
            if segment.timeline <= archived.timeline and segment.number <= archived.number - KEPT:
                path.unlink(missing_ok=True)
                removed += 1
    _remove_left(database, newest)
    return removed


def _remove_left(database: ProtectedDatabase, found: list[Path]) -> None:
    """Directories that nobody writes to any more, once they are empty, or older than any restore may go."""
    limit = time.time() - database.policy.retention
    for directory in found[:-1]:
        segments = [path for path in directory.iterdir() if path.suffix != ".history"]
        if not segments or max(path.stat().st_mtime for path in segments) < limit:
            shutil.rmtree(directory)
