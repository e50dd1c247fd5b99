"""Plans against a real archive: the commit at which a restore ends, computed beforehand, and the refusals."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renecinfra.errors import RestoreError
from renecinfra.recovery.engine.beside import Beside
from renecinfra.recovery.lineage import Lineage
from renecinfra.recovery.planning import Circumstances, Planner
from renecinfra.recovery.targets import (
    BackupTarget,
    LatestTarget,
    LsnTarget,
    RestorePointTarget,
    TimeTarget,
    XidTarget,
)

from .lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def lab():
    root = Path(tempfile.mkdtemp(prefix="renec-plan-", dir="/var/tmp"))
    root.chmod(0o755)
    made = Lab(root / "x")
    try:
        made.up()
        made.sql("CREATE TABLE t (n int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())")
        time.sleep(1.1)  # pgBackRest's times are whole seconds
        made.moments = {}
        with made.connected() as connection:
            for number in range(60):
                row = connection.execute(
                    "INSERT INTO t (n) VALUES (%s) RETURNING pg_current_xact_id()::text", (number,)
                ).fetchone()
                at, lsn = connection.execute(
                    "SELECT clock_timestamp(), pg_current_wal_flush_lsn()::text"
                ).fetchone()
                made.moments[number] = (at, int(row[0]), lsn)
                if number == 30:
                    lsn = connection.execute(
                        "SELECT pg_create_restore_point('before-thirty-one')::text"
                    ).fetchone()[0]
                    made.backrest  # noqa: B018
                    from renecinfra.recovery.records import Records

                    Records(made.database).append("restore-point", name="before-thirty-one", lsn=lsn)
                if number % 20 == 19:
                    connection.execute("SELECT pg_switch_wal()")
        made.archived()
        yield made
    finally:
        made.down()
        shutil.rmtree(root)


def planner(lab, **changes):
    facts = {
        "timeline": 1, "alive": True, "directories": (lab.receiver, lab.data / "pg_wal"),
        "place": lab.data.parent / "restores", "now": datetime.now(UTC),
    }  # fmt: skip
    return Planner(lab.database, Circumstances(**(facts | changes)))


def restored(lab, plan, name):
    """The rows of a restore by this plan, once what was promised has been checked."""
    beside = Beside(lab.database, lab.data.parent / "restores" / name, purpose="p", marker="lab/restore")
    try:
        beside.fetch(plan.recipe)
        beside.start(plan.recipe)
        end = beside.watch(lambda seen: None)
        assert plan.expectation.shortfall(end.fork, end.last_commit) == ""
        with beside.connected() as connection:
            return [row[0] for row in connection.execute("SELECT n FROM t ORDER BY n").fetchall()]
    finally:
        beside.remove()


def test_a_time(lab):
    plan = planner(lab).plan(TimeTarget(lab.moments[24][0], "then"))
    assert plan.expectation.last.xid == lab.moments[24][1]
    assert plan.expectation.after.xid == lab.moments[25][1]
    assert plan.loss.transactions == 60 - 25
    assert 0 < plan.loss.seconds < 10
    assert restored(lab, plan, "time") == list(range(25))


def test_a_transaction(lab):
    plan = planner(lab).plan(XidTarget(lab.moments[45][1]))
    assert plan.expectation.after.xid == lab.moments[46][1]
    assert restored(lab, plan, "xid") == list(range(46))


def test_a_place(lab):
    plan = planner(lab).plan(LsnTarget(lab.moments[10][2]))
    assert plan.expectation.last.xid == lab.moments[10][1]
    assert restored(lab, plan, "lsn") in (list(range(11)), list(range(12)))


def test_a_restore_point(lab):
    plan = planner(lab).plan(RestorePointTarget("before-thirty-one"))
    assert plan.expectation.last.xid == lab.moments[30][1]
    assert restored(lab, plan, "point") == list(range(31))


def test_the_end_of_a_backup(lab):
    label = lab.backrest.info().of_current()[0].label
    plan = planner(lab).plan(BackupTarget(label))
    beside = Beside(lab.database, lab.data.parent / "restores" / "backup", purpose="p", marker="lab/restore")
    try:
        beside.fetch(plan.recipe)
        beside.start(plan.recipe)
        end = beside.watch(lambda seen: None)
        assert plan.expectation.shortfall(end.fork, end.last_commit) == ""
        with beside.connected() as connection:
            assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)
    finally:
        beside.remove()


def test_latest_reads_what_is_not_archived(lab):
    xid = lab.sql("INSERT INTO t (n) VALUES (1000) RETURNING pg_current_xact_id()::text")[0][0]
    try:
        plan = planner(lab).plan(LatestTarget())
        assert plan.expectation.last.xid == int(xid)
        assert plan.loss.transactions == 0
        assert restored(lab, plan, "latest")[-1] == 1000
    finally:
        lab.sql("DELETE FROM t WHERE n = 1000")


@pytest.mark.parametrize(
    ("target", "id_"),
    [
        (lambda lab: TimeTarget(datetime.now(UTC) + timedelta(hours=1), "?"), "restore-target-future"),
        (lambda lab: TimeTarget(datetime.now(UTC) - timedelta(days=1), "?"), "restore-before-window"),
        (lambda lab: TimeTarget(datetime.now(UTC), "?"), "restore-after-wal"),
        (lambda lab: LsnTarget("7F/0"), "restore-after-wal"),
        (lambda lab: LsnTarget("0/1000000"), "restore-before-window"),
        (lambda lab: XidTarget(4_000_000), "restore-xid-missing"),
        (lambda lab: RestorePointTarget("nobody"), "restore-point-missing"),
        (lambda lab: BackupTarget("20200101-000000F"), "restore-backup-unusable"),
    ],
)
def test_what_cannot_be_reached_is_refused(lab, target, id_):
    with pytest.raises(RestoreError) as caught:
        planner(lab).plan(target(lab))
    assert caught.value.id == id_
    assert caught.value.hint


def test_a_lost_key_is_not_taken_for_a_lack_of_backups(lab):
    secrets = lab.root / "other"
    lab.write(secrets / "cipher.conf", "[global]\nrepo1-cipher-pass=wrong\n")
    made = planner(lab)
    made.database = replace(lab.database, secrets=str(secrets))
    with pytest.raises(RestoreError) as caught:
        made.plan(LatestTarget())
    assert caught.value.id == "backup-key-wrong"
    assert caught.value.message.isprintable()


def test_a_gap_is_refused_and_says_how_far_it_goes(lab):
    segments = sorted(
        path for path in (lab.root / "repo" / "archive").rglob("*.zst") if path.name[:8] == "00000001"
    )
    removed = next(path for path in segments if path.name[:24] > lab.backrest.info().of_current()[0].wal_last)
    kept = removed.with_name("kept")
    removed.rename(kept)
    try:
        with pytest.raises(RestoreError) as caught:
            planner(lab, directories=()).plan(TimeTarget(lab.moments[50][0], "then"))
    finally:
        kept.rename(removed)
    assert caught.value.id == "restore-gap"
    assert removed.name[:24] in caught.value.message


def test_a_disk_that_is_too_small_is_refused(lab, monkeypatch):
    monkeypatch.setattr("renecinfra.recovery.engine.files.OwnedFiles.free", lambda self, path: 1 << 20)
    with pytest.raises(RestoreError) as caught:
        planner(lab).plan(TimeTarget(lab.moments[24][0], "then"))
    assert caught.value.id == "restore-no-space"


def test_a_damaged_backup_is_passed_over(lab):
    from renecinfra.recovery.records import Records

    label = lab.backrest.info().of_current()[0].label
    records = Path(lab.database.state) / "records.jsonl"
    before = records.read_text()
    try:
        Records(lab.database).append("backup-damaged", ok=False, label=label)
        with pytest.raises(RestoreError) as caught:
            planner(lab).plan(TimeTarget(lab.moments[24][0], "then"))
        assert caught.value.id == "restore-backup-damaged"
    finally:
        records.write_text(before)


def test_the_timeline_that_was_in_use_then_is_the_target_s(lab):
    lineage = Lineage(lab.database)
    system = lab.sql("SELECT system_identifier::text FROM pg_control_system()")[0][0]
    path = Path(lab.database.state) / "lineage.jsonl"
    try:
        lineage.record(system, 7, "restored", parent=1, fork="0/1")
        with pytest.raises(RestoreError) as caught:
            planner(lab).plan(TimeTarget(datetime.now(UTC), "now"))
        assert caught.value.id == "restore-timeline-missing"
    finally:
        path.unlink()
