"""How many rows of which table were written in a stretch of WAL. Counts records, whatever became of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from renecinfra import process
from renecinfra.recovery.engine.wal import Lsn, Segment

_SECONDS: Final = 60
_RECORD: Final = re.compile(
    r"rmgr: Heap2? .*lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+), .*"
    r"desc: (?P<what>INSERT|UPDATE|HOT_UPDATE|DELETE|MULTI_INSERT)(?:\+INIT)?\b"
    r"(?: (?P<tuples>\d+) tuples)?.*?"
    r"rel \d+/(?P<database>\d+)/(?P<file>\d+)"
)


def count(lines: Iterable[str], after: Lsn) -> Counter[tuple[int, int]]:
    """Rows by database and file, from what pg_waldump printed, of records that begin after a place."""
    found: Counter[tuple[int, int]] = Counter()
    for line in lines:
        match = _RECORD.match(line)
        if match is not None and Lsn.parse(match["lsn"]) > after:
            rows = int(match["tuples"]) if match["tuples"] else 1
            found[int(match["database"]), int(match["file"])] += rows
    return found


def by_table(
    waldump: str, paths: Iterable[Path], after: Lsn, tables: Mapping[tuple[int, int], str]
) -> dict[str, int]:
    """Changed rows by table in whole segments; ``tables`` are names by database and file, as they are now.

    A table that was dropped or truncated since has a file that nobody knows: its rows are counted together.
    """
    found: Counter[str] = Counter()
    databases = {database for database, _ in tables}
    for path in paths:
        segment = Segment.parse(path.name)
        for manager in ("Heap", "Heap2"):
            done = process.run(
                [waldump, f"--rmgr={manager}", f"--path={path.parent}", str(path)],
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                timeout=_SECONDS,
                check=False,
                redact=False,
            )
            for (database, file), rows in count(done.stdout.splitlines(), max(after, segment.start)).items():
                if (database, file) in tables:
                    found[tables[database, file]] += rows
                elif database in databases:
                    found["tables that are gone"] += rows
    return {name: rows for name, rows in found.most_common() if name}
