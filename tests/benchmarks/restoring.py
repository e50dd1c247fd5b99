"""Restoring beside, against copying the same bytes on the same disk; how fast WAL is replayed and archived;
and a backup against pg_dump.

RENECINFRA_BENCHMARK_MIB has the databases' sizes, such as "1024,5120,10240"; 256 unless given. It takes five
times the largest as room in /var/tmp. RENECINFRA_BENCHMARK_TABLES says in how many tables; 4 unless given.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from renecinfra.recovery.engine.beside import Beside
from renecinfra.recovery.engine.recipe import Recipe
from renecinfra.recovery.engine.wal import Segment
from tests.benchmarks.measuring import Result
from tests.integration.recovery.lab import Lab

SIZES = [int(size) for size in os.environ.get("RENECINFRA_BENCHMARK_MIB", "256").split(",")]
# Bytes of a row of the filler with its header and its md5 texts; a size is approximate, and printed as it is.
ROWS_PER_MIB = 3100
# How often copying and restoring are each done.
TURNS = 5
# A table's file is brought, and a table is dumped, by one process: of a single one nothing is shared out.
TABLES = int(os.environ.get("RENECINFRA_BENCHMARK_TABLES", "4"))


def run() -> Iterator[Result]:
    for size in SIZES:
        root = Path(tempfile.mkdtemp(prefix="renec-bench-", dir="/var/tmp"))
        root.chmod(0o755)
        lab = Lab(root / "x")
        try:
            lab.up()
            yield from _of_size(lab, root, size)
        finally:
            lab.down()
            shutil.rmtree(root)


def _of_size(lab: Lab, root: Path, size: int) -> Iterator[Result]:
    for number in range(TABLES):
        lab.sql(
            f"CREATE TABLE filler_{number} AS SELECT i, md5(i::text) || repeat(md5((i * 7)::text), 8) AS t"
            f" FROM generate_series(1, {size * ROWS_PER_MIB // TABLES}) AS i"
        )
    lab.sql("CHECKPOINT")
    lab.archived(600)
    backed_up = _timed(lambda: lab.backrest.backup("full", timeout=1800))
    newest = lab.backrest.info().of_current()[-1]
    named = f"{newest.size >> 20} MiB"
    dumped = _timed(lambda: _dump(lab))
    detail = f"{named}: backup {backed_up:.1f} s, pg_dump {dumped:.1f} s"
    yield Result("full backup over pg_dump -j 2", backed_up / dumped, "x", 1.0, detail)
    made = Recipe(newest.label, 1, 1, {"recovery_target": "immediate"}, newest.wal_last, ())
    # In turn, and the fastest of each. Later copies are up to three times slower than the first, restores are
    # not: medians would flatter a restore.
    pairs = [(_copy(lab, root), _restore(lab, made, f"files{turn}")[0]) for turn in range(TURNS)]
    copied, restored = (min(times) for times in zip(*pairs, strict=True))
    times = ", ".join(f"{copy:.1f}/{restore:.1f}" for copy, restore in pairs)
    detail = f"{named}: ready after {restored:.1f} s, cp {copied:.1f} s (the fastest of cp/restore {times})"
    yield Result("restore to the end of a backup over cp", restored / copied, "x", 1.5, detail)

    started = time.perf_counter()
    for number in range(TABLES):
        rows = min(size, 1024) * ROWS_PER_MIB // 2 // TABLES
        lab.sql(f"UPDATE filler_{number} SET t = t || 'x' WHERE i < {rows}")
    lab.archived(600)
    elapsed = time.perf_counter() - started
    archived = max(one.last for one in lab.backrest.info().archives if one.last)
    first, last = Segment.parse(newest.wal_first), Segment.parse(archived)
    wal = (last.number - first.number + 1) * 16
    detail = f"{named}: {wal} MiB written and archived in {elapsed:.1f} s, {wal / elapsed:.0f} MiB/s"
    yield Result("archiving a GiB of WAL while it is written", 1024 * elapsed / wal, "s", 60, detail)
    latest = Recipe(newest.label, 1, 1, {}, archived, (str(lab.receiver),))
    whole, replayed = _restore(lab, latest, "wal")
    rate = wal / max(replayed, 0.1)
    detail = f"{named}: {wal} MiB of WAL in {replayed:.1f} s, {rate:.0f} MiB/s; all in {whole:.1f} s"
    yield Result("replaying a GiB of WAL", 1024 / rate, "s", 60, detail)


def _timed(action: Callable[[], object]) -> float:
    _forget()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _dump(lab: Lab) -> None:
    """What most people have instead: compressed as pg_dump does by itself, in two processes."""
    target = lab.root / "dump"
    lab.run(
        Path(lab.programs["psql"]).with_name("pg_dump"), "-Fd", "-j", "2", "-h", lab.socket, "-p", "5499",
        "-U", "postgres", "-f", target, "postgres", timeout=3600,
    )  # fmt: skip
    shutil.rmtree(target)


def _copy(lab: Lab, root: Path) -> float:
    """What a restore brings back once more, from a cold cache where that can be had, synced.

    WAL is left out: a restore fetches it from the archive, and the server recycles it while it is copied.
    """
    parts = [path for path in lab.data.iterdir() if path.name not in ("pg_wal", "postmaster.pid")]
    (root / "copy").mkdir()
    _forget()
    started = time.perf_counter()
    subprocess.run(["cp", "-r", *parts, root / "copy"], check=True)
    os.sync()
    elapsed = time.perf_counter() - started
    shutil.rmtree(root / "copy")
    return elapsed


def _restore(lab: Lab, recipe: Recipe, name: str) -> tuple[float, float]:
    beside = Beside(lab.database, lab.data.parent / "restores" / name, purpose="b", marker="bench/restore")
    try:
        _forget()
        started = time.perf_counter()
        beside.fetch(recipe)
        fetched = time.perf_counter()
        beside.start(recipe)
        beside.watch(lambda seen: None)
        return time.perf_counter() - started, time.perf_counter() - fetched
    finally:
        beside.remove()


def _forget() -> None:
    os.sync()
    with contextlib.suppress(OSError):  # not root: both sides then have a warm cache
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
