"""Restore, undo, failover and drill on a whole environment: under load, and killed at every step."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime

import psycopg
import pytest
import urllib3

from tests.e2e.conftest import Cli
from tests.ports import free_port_base

from .writing import TABLE, Writer, dsn, require_well, rows

pytestmark = [pytest.mark.e2e, pytest.mark.nightly, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory, new_workspace):
    cli = new_workspace(tmp_path_factory.mktemp("restore"), "res")
    try:
        cli.ok("up", "res", "--yes", timeout=240)
        yield cli
    finally:
        cli.ok("down", "res", "--yes")
        shutil.rmtree(f"{cli.home}.backups", ignore_errors=True)


@pytest.fixture
def writer(lab):
    made = Writer(dsn(lab))
    made.prepare()
    made.start()
    time.sleep(1.5)
    yield made
    made.stop()


class Requests:
    """Fifty requests a second through the edge, and what they were answered."""

    def __init__(self, cli) -> None:
        self._cli = cli
        self._stop = threading.Event()
        self.answers: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(5)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self):
        url = f"https://localhost:{self._cli.port_base + 3}/api/v1/ec-standards"
        with urllib3.PoolManager(ca_certs=str(self._cli.state / "tls" / "ca.crt"), retries=False) as pool:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    answer = pool.request("GET", url, timeout=20)
                    kind = str(answer.status)
                    if answer.status == 503 and "Retry-After" not in answer.headers:
                        kind = "503 without Retry-After"
                except urllib3.exceptions.HTTPError as error:
                    kind = type(error).__name__
                self.answers[kind] += 1
                self._stop.wait(max(0.0, 0.1 - (time.monotonic() - began)))


def nothing_to_do(cli):
    done = cli.run("plan", cli.environment, "--detailed-exitcode")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_cutover_under_load_and_the_way_back(lab, writer, capsys):
    at, before = writer.moment()
    time.sleep(1)
    with Requests(lab) as requests:
        done = json.loads(lab.ok("restore", "res", "--to", at.isoformat(), "--yes", "--json", timeout=120))
    writer.stop()
    with capsys.disabled():
        print(f"\nwriters held {done['writers_held_seconds']} s, longest write {max(writer.waits):.2f} s, "
              f"errors {writer.errors}, answers {dict(requests.answers)}, steps {done['steps']}")  # fmt: skip
    assert set(requests.answers) <= {"200", "503"}
    assert requests.answers["200"] > 0
    found = set(rows(dsn(lab)))
    later = {n for n in writer.acknowledged if n not in before}
    # What is written after the cutover goes into the restored database, with numbers that go on.
    assert set(before) <= found
    assert min(later) not in found
    assert writer.errors == []
    nothing_to_do(lab)
    lab.ok("restore", "res", "--undo", "--yes", timeout=120)
    assert min(later) in set(rows(dsn(lab)))
    require_well(lab)
    nothing_to_do(lab)


STEPS = ("fetch", "replay", "check", "ready", "cutover", "rebuild", "protect")


def killed_at(cli, step, *arguments):
    """Start a command and kill it as soon as the journal says that it is at a step."""
    journal = cli.state / "journal.jsonl"
    length = journal.stat().st_size
    process = cli.start(*arguments)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with journal.open() as stream:
            stream.seek(length)
            if any(f'"name": "{step}", "state": "started"' in line for line in stream):
                break
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    time.sleep(0.15 if step != "cutover" else 0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_is_gone_on_with_or_taken_back(lab, step):
    writer = Writer(dsn(lab))
    writer.prepare()
    writer.start()
    time.sleep(1.5)
    at, before = writer.moment()
    time.sleep(0.3)
    writer.stop()
    everything = rows(dsn(lab))
    killed_at(lab, step, "restore", "res", "--to", at.isoformat(), "--yes")
    refused = lab.run("restore", "res", "--latest", "--yes")
    assert refused.returncode == 9
    assert "restore-unfinished" in refused.stderr
    if step in ("fetch", "replay", "check", "ready"):
        assert rows(dsn(lab)) == everything  # the running database was never touched
    if step in ("replay", "ready"):
        lab.ok("restore", "res", "--abort", "--yes")
        assert rows(dsn(lab)) == everything
    elif step in ("rebuild",):
        lab.ok("restore", "res", "--undo", "--yes", timeout=120)
        assert rows(dsn(lab)) == everything
    else:
        lab.ok("restore", "res", "--resume", timeout=120)
        assert set(rows(dsn(lab))) == set(before)
        lab.ok("restore", "res", "--finish", "--yes")
    require_well(lab)


def test_a_failover_from_a_primary_that_runs_loses_nothing(lab, writer):
    done = json.loads(lab.ok("failover", "res", "--yes", "--json", timeout=120))
    writer.stop()
    found = set(rows(dsn(lab)))
    assert set(writer.acknowledged) <= found
    assert done["writers_held_seconds"] < 15
    require_well(lab)
    nothing_to_do(lab)
    lab.ok("restore", "res", "--finish", "--yes")


def test_a_failover_from_a_primary_that_is_gone(lab, writer):
    cluster = lab.home / "data" / "postgresql-primary" / "cluster"
    pid = int((cluster / "postmaster.pid").read_text().split("\n")[0])
    os.kill(pid, signal.SIGSTOP)  # it cannot serve, and cannot be seen to restart
    time.sleep(0.5)
    shutil.rmtree(cluster)
    os.kill(pid, signal.SIGKILL)
    writer.stop()
    lab.ok("failover", "res", "--yes", "--json", timeout=120)
    found = set(rows(dsn(lab)))
    missing = set(writer.acknowledged) - found
    assert len(missing) <= 20, len(
        missing
    )  # the replica streams: a few hundredths of a second at 200 rows a second
    require_well(lab)
    nothing_to_do(lab)
    lab.ok("restore", "res", "--finish", "--yes")


def test_an_empty_database_is_never_made_where_one_was_lost(lab):
    cluster = lab.home / "data" / "postgresql-primary" / "cluster"
    wanted = rows(dsn(lab))
    pid = int((cluster / "postmaster.pid").read_text().split("\n")[0])
    shutil.rmtree(cluster, ignore_errors=True)
    os.kill(pid, signal.SIGKILL)
    time.sleep(2)
    assert not (cluster / "PG_VERSION").exists()
    assert "renecinfra restore" in lab.run("logs", "res", "postgresql-primary").stdout
    with psycopg.connect(**dsn(lab, "replica", "monitor")) as connection:
        found = [row[0] for row in connection.execute(f"SELECT n FROM {TABLE} ORDER BY n").fetchall()]
    assert found == wanted
    lab.ok("restore", "res", "--latest", "--yes", timeout=120)
    assert rows(dsn(lab)) == wanted
    lab.ok("restore", "res", "--finish", "--yes")


def test_a_drill_is_recorded_and_leaves_nothing(lab):
    before = set(lab.marked())
    done = json.loads(lab.ok("drill", "res", "--json", timeout=120))
    assert done["ok"]
    assert done["rto_seconds"] < 60
    assert all(one["ok"] for one in done["findings"])
    assert not list((lab.home / "data" / "backups" / "scratch").glob("drill-*"))
    assert len(lab.marked()) <= len(before) + 2


def a_drill_runs_by_itself(cli):
    """From the schedule of the service, within its minute; and Prometheus knows of it."""
    since = datetime.now(UTC)
    cli.ok("up", cli.environment, "--yes", "--set", 'backups.drill="* * * * *"', timeout=120)
    deadline = time.monotonic() + 180
    while True:
        drill = (cli.status()["recovery"] or {}).get("drill")
        if drill is not None and datetime.fromisoformat(drill["at"]) > since:
            break
        assert time.monotonic() < deadline, drill
        time.sleep(2)
    assert drill["ok"], drill
    url = f"http://127.0.0.1:{cli.port_base + 50}/api/v1/query?query=renec_drill_success_timestamp_seconds"
    while not json.loads(urllib3.request("GET", url, timeout=5).data)["data"]["result"]:
        assert time.monotonic() < deadline
        time.sleep(1)
    cli.ok("up", cli.environment, "--yes", timeout=120)


def test_a_backup_goes_into_another_environment(lab):
    other = Cli(lab.workspace, "into", free_port_base())
    (lab.workspace / "environments" / "into.yaml").write_text(
        f"environment: into\nextends: local\nplatform:\n  port_base: {other.port_base}\n"
        "backups:\n  assertions:\n    has-rows: SELECT count(*) > 0 FROM acknowledged\n"
    )
    writer = Writer(dsn(lab))
    writer.prepare()
    writer.start()
    time.sleep(1.5)
    at, before = writer.moment()
    time.sleep(0.5)
    writer.stop()
    everything = rows(dsn(lab))
    try:
        other.ok("up", "into", "--yes", timeout=240)
        made = json.loads(
            lab.ok("restore", "res", "--to", at.isoformat(), "--into", "into", "--dry-run", "--json")
        )
        assert made["lost"]["tables"][TABLE] > 0
        lab.ok("restore", "res", "--to", at.isoformat(), "--into", "into", "--yes", timeout=180)
        assert set(rows(dsn(other))) == set(before)
        assert rows(dsn(lab)) == everything
        require_well(other)
        nothing_to_do(other)
        # Its own backups are of the database that it was given.
        other.ok("restore", "into", "--finish", "--yes")
        a_drill_runs_by_itself(other)
        nothing_to_do(lab)
    finally:
        other.ok("down", "into", "--yes", "--delete-backups")
