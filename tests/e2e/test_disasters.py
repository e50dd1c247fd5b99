"""Disasters at random moments under a writer, and a restore after each: exactly the acknowledged rows.

RENECINFRA_DISASTERS=20 runs as many (four are the default), 'truncate,full disk' runs those two;
RENECINFRA_SEED repeats a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from renecinfra.agents import lifecycle
from renecinfra.agents.home import load_home

from .writing import TABLE, Writer, dsn, require_well, rows

pytestmark = [pytest.mark.e2e, pytest.mark.nightly, pytest.mark.timeout(3000)]

WANTED = os.environ.get("RENECINFRA_DISASTERS", "4")
SEED = int(os.environ.get("RENECINFRA_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


def superuser(cli):
    return {
        "host": str(cli.home / "run"), "port": cli.port_base + 10, "user": "postgres", "dbname": "renec",
        "autocommit": True, "connect_timeout": 5,
    }  # fmt: skip


def cluster(cli) -> Path:
    return cli.home / "data" / "postgresql-primary" / "cluster"


def postmaster(cli) -> int:
    return int((cluster(cli) / "postmaster.pid").read_text().split("\n")[0])


def drop_table(cli):
    with psycopg.connect(**superuser(cli)) as connection:
        connection.execute(f"DROP TABLE {TABLE}")


def truncate(cli):
    with psycopg.connect(**superuser(cli)) as connection:
        connection.execute(f"TRUNCATE {TABLE}")


def remove_data(cli):
    shutil.rmtree(cluster(cli), ignore_errors=True)


def kill(cli):
    os.kill(postmaster(cli), signal.SIGKILL)


def damage_a_page(cli):
    with psycopg.connect(**superuser(cli)) as connection:
        connection.execute("CHECKPOINT")
        path = connection.execute("SELECT pg_relation_filepath(%s)", (TABLE,)).fetchone()[0]
    with (cluster(cli) / path).open("r+b") as stream:
        stream.seek(2000)
        stream.write(b"damage" * 100)
    os.kill(postmaster(cli), signal.SIGKILL)  # what it has in memory would hide it


def small_disk_for_wal(cli):
    """WAL on a small file system of its own, as root can make one; returns what takes it away again."""
    disk = Path(tempfile.mkdtemp(prefix="renec-wal-", dir="/var/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=208m,mode=0777", "none", disk], check=True)
    home = load_home(cli.home)
    lifecycle.stop(home, "postgresql-primary")
    wal = cluster(cli) / "pg_wal"
    subprocess.run(["cp", "-a", wal, disk / "pg_wal"], check=True)
    shutil.rmtree(wal)
    wal.symlink_to(disk / "pg_wal")
    lifecycle.start(home, "postgresql-primary")
    require_well(cli)  # the pooler tries a primary that was away again after server_login_retry
    return disk


def fill_the_disk(cli):
    """PostgreSQL ends with a PANIC at its next segment, and cannot start again."""
    disk = (cluster(cli) / "pg_wal").resolve().parent
    with contextlib.suppress(OSError), (disk / "full").open("wb") as stream:
        while True:
            stream.write(b"x" * (1 << 20))
            stream.flush()
    with psycopg.connect(**superuser(cli)) as connection, contextlib.suppress(psycopg.Error):
        for _ in range(20):
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CREATE TABLE IF NOT EXISTS filler (n int)")
            connection.execute("INSERT INTO filler VALUES (1)")


DISASTERS = {
    "drop table": (drop_table, "to"),
    "truncate": (truncate, "to"),
    "rm -rf data": (remove_data, "latest"),
    "kill -9": (kill, "latest"),
    "corrupted page": (damage_a_page, "latest"),
    "full disk": (fill_the_disk, "latest"),
    "rm -rf data, to a moment": (remove_data, "to"),
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory, new_workspace):
    cli = new_workspace(tmp_path_factory.mktemp("disasters"), "dis")
    try:
        cli.ok("up", "dis", "--yes", timeout=240)
        yield cli
    finally:
        cli.ok("down", "dis", "--yes")
        shutil.rmtree(f"{cli.home}.backups", ignore_errors=True)


def test_every_disaster_gives_back_exactly_what_was_acknowledged(lab, capsys):
    chance = random.Random(SEED)
    if WANTED.isdigit():
        rounds = range(int(WANTED) // len(DISASTERS) + 1)
        names = [name for _ in rounds for name in chance.sample(list(DISASTERS), len(DISASTERS))]
        names = names[: int(WANTED)]
    else:
        names = WANTED.split(",")
    table = []
    for name in names:
        table.append(one_round(lab, name, chance))
        with capsys.disabled():
            print(f"\n{table[-1]}", flush=True)
    assert all(line["missing"] == 0 and line["more"] == 0 for line in table), table


def one_round(cli, name, chance):
    disaster, target = DISASTERS[name]
    disk = small_disk_for_wal(cli) if disaster is fill_the_disk else None
    writer = Writer(dsn(cli))
    writer.prepare()
    writer.start()
    time.sleep(chance.uniform(1.0, 4.0))
    at, before = writer.moment()
    time.sleep(chance.uniform(0.2, 1.5))
    disaster(cli)
    time.sleep(chance.uniform(0.1, 1.0))
    writer.stop()
    began = time.monotonic()
    arguments = ["--latest"] if target == "latest" else ["--to", at.isoformat()]
    done = json.loads(cli.ok("restore", "dis", *arguments, "--yes", "--json", timeout=240))
    recovery = time.monotonic() - began
    found = set(rows(dsn(cli)))
    wanted = set(before) if target == "to" else set(writer.acknowledged)
    allowed = wanted if target == "to" else wanted | set(writer.doubtful)
    cli.ok("restore", "dis", "--finish", "--yes")
    if disk is not None:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()
    require_well(cli)
    serving = sum(done["steps"][step] for step in ("fetch", "replay", "check", "ready", "cutover"))
    return {
        "disaster": name, "rows": len(found), "missing": len(wanted - found), "more": len(found - allowed),
        "rto": round(recovery, 1), "serving": round(serving, 1),
        "held": done["writers_held_seconds"], "seed": SEED,
    }  # fmt: skip
