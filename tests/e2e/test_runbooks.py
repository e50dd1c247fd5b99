"""Each disaster's page: the disaster is made, and the page's own commands put an end to it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import psycopg
import pytest

from .test_disasters import cluster, postmaster, superuser
from .writing import TABLE, Writer, dsn, require_well, rows

pytestmark = [pytest.mark.e2e, pytest.mark.nightly, pytest.mark.timeout(600)]

PAGES = Path(__file__).parents[2] / "docs" / "runbooks" / "disasters"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, new_workspace):
    cli = new_workspace(tmp_path_factory.mktemp("runbooks"), "run")
    try:
        cli.ok("up", "run", "--yes", timeout=240)
        yield cli
    finally:
        cli.run("restore", "run", "--finish", "--yes")
        cli.ok("down", "run", "--yes")
        shutil.rmtree(f"{cli.home}.backups", ignore_errors=True)


@pytest.fixture
def written(lab):
    """Rows, and a moment at which exactly these had been acknowledged; rows after it, too."""
    writer = Writer(dsn(lab))
    writer.prepare()
    writer.start()
    time.sleep(1.2)
    at, before = writer.moment()
    time.sleep(0.5)
    writer.stop()
    yield at, before, list(writer.acknowledged)
    lab.run("restore", "run", "--finish", "--yes")


def follow(cli, page, *, expected=None, **words):
    """Run the page's commands in their order; ``expected`` has exit codes that are not 0, by what is in a
    command.
    """
    blocks = re.findall(r"```sh\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("renecinfra ")]
    assert lines
    for line in lines:
        command = line.removeprefix("renecinfra ").replace("ENV", cli.environment)
        for word, value in words.items():
            command = command.replace(word, value)
        arguments = shlex.split(command)
        if (
            arguments[0] in ("restore", "failover")
            and "--dry-run" not in arguments
            and "--yes" not in arguments
        ):
            arguments.append("--yes")  # the test has no terminal to type the name on
        done = cli.run(*arguments, timeout=240)
        wanted = next((code for part, code in (expected or {}).items() if part in command), 0)
        assert done.returncode == wanted, f"{command}\n{done.stdout}\n{done.stderr}"


def test_every_page_is_followed_by_a_test():
    names = {page.stem.replace("-", "_") for page in PAGES.glob("*.md")} - {"index"}
    assert names == {name.removeprefix("test_page_") for name in globals() if name.startswith("test_page_")}


def test_page_table_dropped(lab, written):
    at, before, _ = written
    with psycopg.connect(**superuser(lab)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS stays (n int)")
        connection.execute(f"DROP TABLE {TABLE}")
        connection.execute("INSERT INTO stays VALUES (1)")
    follow(lab, "table-dropped", TIME=at.isoformat(), TABLE=f"public.{TABLE}")
    assert set(rows(dsn(lab))) == set(before)
    with psycopg.connect(**superuser(lab)) as connection:
        assert connection.execute("SELECT count(*) FROM stays").fetchone()[0] >= 1
        connection.execute(f"DELETE FROM {TABLE} WHERE n < 10")
    follow(lab, "table-dropped", TIME=at.isoformat(), TABLE=f"public.{TABLE}")
    with psycopg.connect(**superuser(lab)) as connection:
        found = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'restored%'"
        ).fetchall()
        counted = connection.execute(f"SELECT count(*) FROM {found[0][0]}.{TABLE}").fetchone()[0]
        connection.execute(f"DROP SCHEMA {found[0][0]} CASCADE")
    assert counted == len(before)


def test_page_bad_migration(lab, written):
    _, _, everything = written
    lab.ok("backup", "run", "point", "before-the-migration")
    with psycopg.connect(**superuser(lab)) as connection:
        connection.execute(f"UPDATE {TABLE} SET n = -n")
        connection.execute("SELECT pg_switch_wal()")
        connection.execute(f"DELETE FROM {TABLE} WHERE n < -5")
    follow(lab, "bad-migration", POINT="before-the-migration")
    assert rows(dsn(lab)) == everything
    require_well(lab)


def test_page_primary_lost(lab, written):
    _, _, everything = written
    pid = postmaster(lab)
    shutil.rmtree(cluster(lab), ignore_errors=True)
    os.kill(pid, signal.SIGKILL)
    # After the failover, the restore of the page is refused: what was kept has to go first.
    follow(lab, "primary-lost", expected={"--latest": 9})
    assert rows(dsn(lab)) == everything
    require_well(lab)


def test_page_backup_corrupted(lab, written):
    repository = Path(f"{lab.home}.backups") / "repository" / "backup"
    bundle = max(repository.rglob("bundle/*"), key=lambda path: path.stat().st_size)
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(bytes(data))
    follow(lab, "backup-corrupted", expected={"verify": 9})
    at, _, _ = written
    done = lab.run("restore", "run", "--to", at.isoformat(), "--dry-run")
    assert done.returncode in (0, 9), done.stderr


def test_page_ransomware(lab, written):
    at, before, _ = written
    with psycopg.connect(**superuser(lab)) as connection:
        connection.execute(f"UPDATE {TABLE} SET at = '1970-01-01'")
        connection.execute("CREATE TABLE pay_us (how text)")
    follow(lab, "ransomware", TIME=at.isoformat())
    assert set(rows(dsn(lab))) == set(before)
    with psycopg.connect(**superuser(lab)) as connection:
        assert connection.execute("SELECT to_regclass('pay_us')").fetchone() == (None,)


def test_page_wrong_restore(lab, written):
    at, before, _ = written
    lab.ok("restore", "run", "--to", at.isoformat(), "--yes", timeout=120)
    assert set(rows(dsn(lab))) == set(before)
    lab.ok("restore", "run", "--finish", "--yes")
    lab.ok("restore", "run", "--latest", "--yes", timeout=120)
    # Undone, and then to the moment, which is of the timeline before both restores.
    follow(lab, "wrong-restore", TIME=at.isoformat())
    assert set(rows(dsn(lab))) == set(before)


def test_page_vault_lost(lab, written):
    at, before, _ = written
    lab.run("restore", "run", "--finish", "--yes")
    from renecinfra.agents import lifecycle
    from renecinfra.agents.home import load_home

    lifecycle.stop(load_home(lab.home), "openbao")
    follow(lab, "vault-lost", expected={"--to": 9}, TIME=at.isoformat())
    assert set(rows(dsn(lab))) == set(before)


def test_page_bucket_deleted(lab, written):
    _, _, everything = written
    repository = Path(f"{lab.home}.backups") / "repository"
    for part in repository.iterdir():
        shutil.rmtree(part)
    follow(lab, "bucket-deleted")
    assert rows(dsn(lab)) == everything


def test_page_region_lost(lab, written):
    at, before, _ = written
    with psycopg.connect(**superuser(lab)) as connection:
        connection.execute("SELECT pg_switch_wal()")
    lab.run("restore", "run", "--finish", "--yes")
    time.sleep(3)
    lab.ok("down", "run", "--yes", timeout=120)
    follow(lab, "region-lost", TIME=at.isoformat())
    assert set(rows(dsn(lab))) == set(before)
    require_well(lab)
