"""A drill on a real archive: recorded and signed, gone afterwards, and failing where it should."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from renecinfra.errors import RestoreError
from renecinfra.recovery import drill as drills
from renecinfra.recovery import failover, heartbeat
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.lineage import Lineage
from renecinfra.recovery.records import Records
from renecinfra.recovery.window import keep_control_file

from .lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def lab():
    root = Path(tempfile.mkdtemp(prefix="renec-drill-", dir="/var/tmp"))
    root.chmod(0o755)
    made = Lab(root / "x")
    try:
        made.up()
        system = made.sql("SELECT system_identifier::text FROM pg_control_system()")[0][0]
        Lineage(made.database).record(system, 1, "first seen")
        keep_control_file(made.backrest, system)
        time.sleep(1.1)
        heartbeat.prepare(made.database)
        for _ in range(5):
            heartbeat.beat(made.database)
            time.sleep(0.05)
        made.archived()
        yield made
    finally:
        made.down()
        shutil.rmtree(root)


def test_a_drill_is_recorded_signed_and_gone(lab):
    told = []
    done = drills.run(lab.database, chance=random.Random(7), note=told.append)
    assert {one.name: one.ok for one in done.findings} == {
        "opens": True, "rows": True, "amcheck": True, "checksums": True,
    }  # fmt: skip
    assert done.rto > 0
    assert "cleaning up" in told
    record = Records(lab.database).last("drill")
    assert record.ok
    assert record.facts["rto_seconds"] == round(done.rto, 2)
    assert drills.is_authentic(lab.database, record)
    forged = type(record)(record.kind, record.at, record.ok, record.facts | {"rto_seconds": 0.1})
    assert not drills.is_authentic(lab.database, forged)
    assert not list(lab.database.scratch.glob("drill-*"))
    assert (Path(lab.database.state) / "drill.key").stat().st_mode & 0o777 == 0o600


def test_a_drill_that_finds_something_fails_and_says_so_in_its_record(lab):
    from dataclasses import replace

    broken = replace(
        lab.database, assertions={"has a table of users": "SELECT to_regclass('users') IS NOT NULL"}
    )
    with pytest.raises(RestoreError) as caught:
        drills.run(broken)
    assert "users" in caught.value.message
    record = Records(lab.database).last("drill")
    assert not record.ok
    assert drills.is_authentic(lab.database, record)
    assert not list(lab.database.scratch.glob("drill-*"))


def test_a_promise_that_is_not_kept_fails_the_drill(lab):
    from dataclasses import replace

    hasty = replace(lab.database, policy=replace(lab.database.policy, rto=0.01))
    with pytest.raises(RestoreError) as caught:
        drills.run(hasty)
    assert caught.value.id == "drill-slow"


def test_what_a_killed_drill_left_is_removed_by_the_next(lab):
    files = OwnedFiles(lab.database.identity)
    left = lab.database.scratch / "drill-20260101T000000" / "cluster"
    files.make_directory(left)
    drills.run(lab.database)
    assert not left.exists()


def test_one_drill_at_a_time(lab):
    drills.run(lab.database, note=lambda text: refused(lab) if text == "planning" else None)


def refused(lab):
    with pytest.raises(RestoreError) as caught:
        drills.run(lab.database)
    assert caught.value.id == "drill-running"


def test_timelines_in_use_are_reserved(lab):
    files = OwnedFiles(lab.database.identity)
    wal = lab.root / "wal"
    files.make_directory(wal)
    failover.reserve(files, wal, {1, 2, 3})
    assert sorted(path.name for path in wal.iterdir()) == ["00000002.history", "00000003.history"]
    files.write(wal / "00000002.history", "kept")
    failover.reserve(files, wal, {2})
    assert (wal / "00000002.history").read_text() == "kept"


def test_what_is_no_replica_is_not_promoted_over(lab):
    with pytest.raises(RestoreError) as caught:
        failover.plan(lab.database, lab.database.port, None, lambda target: None)
    assert caught.value.id == "failover-no-replica"
    with pytest.raises(RestoreError) as caught:
        failover.plan(lab.database, 1, None, lambda target: None)
    assert caught.value.id == "failover-replica-unreachable"
