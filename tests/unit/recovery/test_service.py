"""The service: its metrics, its schedule's memory, and that its copy has all that it imports."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renecinfra.recovery import receiver
from renecinfra.recovery.engine.wal import Segment
from renecinfra.recovery.keeper import Keeper
from renecinfra.recovery.metrics import Progress, exposition
from renecinfra.recovery.observation import Observation
from renecinfra.recovery.primary import PrimaryState
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Records
from renecinfra.recovery.schedule import Job
from renecinfra.recovery.verification import Finding
from renecinfra.services import manifest

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def state(**more: object) -> PrimaryState:
    base = PrimaryState(
        system_id="77", timeline=1, lsn="0/9000000", in_recovery=False, archived=Segment(1, 8).name,
        archived_at=NOW, failed=0, ready=2, size=1, receiver_lag=0, receiver_seconds=0.0, replica_lag=0,
        started=NOW, now=NOW,
    )  # fmt: skip
    return replace(base, **more)


def observation(**more: object) -> Observation:
    base = Observation(
        environment="test", at=NOW, primary=state(), repository=None, window=None,
        findings=(Finding("continuity of repository 1", 0, True, ""),), free={1: 5}, wal_since_backup=7,
        rpo_archive=12.5, rpo=0.0, rto=4.0,
    )  # fmt: skip
    return replace(base, **more)


def samples(text: str) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_metrics_say_what_is_known() -> None:
    progress = Progress(True, "waiting", {Job.FULL: NOW}, {Job.VERIFY: NOW})
    found = samples(exposition(progress, observation()))
    assert found["renec_backup_ready"] == "1.0"
    assert found['renec_backup_job_failed{job_name="full"}'] == "0.0"
    assert found['renec_backup_job_failed{job_name="verify"}'] == "1.0"
    assert found["renec_archive_waiting_segments"] == "2.0"
    assert found['renec_archive_continuous{repository="1"}'] == "1.0"
    assert found["renec_recovery_rpo_archive_seconds"] == "12.5"
    assert found['renec_backup_repository_free_bytes{repository="1"}'] == "5.0"


def test_what_is_not_known_has_no_sample() -> None:
    progress = Progress(False, "starting", {}, {})
    assert set(samples(exposition(progress, None))) == {"renec_backup_ready"}
    found = samples(exposition(progress, observation(primary=None, rpo=None)))
    assert "renec_recovery_rpo_seconds" not in found
    assert "renec_archive_waiting_segments" not in found
    gone = observation(primary=state(receiver_lag=None))
    assert samples(exposition(progress, gone))["renec_wal_receiver_streaming"] == "0.0"


def test_the_document_is_what_status_reads() -> None:
    document = observation().document()
    assert document["last_archived"] == {"segment": Segment(1, 8).name, "at": NOW.isoformat()}
    assert document["rpo_seconds"] == 0.0
    assert document["drill"] is None


def test_a_restarted_service_remembers_when_jobs_ran(database: ProtectedDatabase) -> None:
    records = Records(database)
    records.append("backup", type="full", at=NOW - timedelta(days=2))
    records.append("backup", type="incr", at=NOW - timedelta(hours=1))
    records.append("verify", ok=False, at=NOW)
    keeper = Keeper(database)
    keeper._recall()
    assert keeper._begun[Job.FULL] == NOW - timedelta(days=2)
    assert keeper._begun[Job.INCREMENTAL] == NOW - timedelta(hours=1)
    assert keeper.progress().failed == {Job.VERIFY: NOW}
    # A drill was never made: it waits for its first moment, and is not made up for.
    assert keeper._begun[Job.DRILL] > NOW - timedelta(days=1)


@pytest.mark.parametrize(
    ("seen", "left"),
    [
        (observation(), [5, 6, 7, 8, 9]),
        (observation(primary=None), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (observation(findings=(Finding("continuity of repository 1", 0, False, ""),)), list(range(1, 10))),
        (observation(primary=state(system_id="88")), list(range(1, 10))),
    ],
    ids=["archived", "no primary", "a gap", "another database"],
)
def test_received_wal_goes_only_once_it_is_archived(
    database: ProtectedDatabase, seen: Observation, left: list[int]
) -> None:
    directory = Path(database.receiver) / "77-1"
    directory.mkdir(parents=True)
    for number in range(1, 10):
        (directory / Segment(1, number).name).touch()
    (directory / f"{Segment(1, 10).name}.partial").touch()
    receiver.prune(database, seen)
    names = sorted(path.name for path in directory.iterdir())
    assert names == [*(Segment(1, number).name for number in left), f"{Segment(1, 10).name}.partial"]


def test_what_nobody_receives_into_any_more_goes(database: ProtectedDatabase) -> None:
    now = time.time()
    ages = {"55-1": 10 * 86400, "66-1": 3600, "77-1-until-x": 60, "77-1": 0}
    for name, age in ages.items():
        directory = Path(database.receiver) / name
        directory.mkdir(parents=True)
        segment = directory / Segment(1, 3 if name != "77-1" else 9).name
        segment.touch()
        for path in (segment, directory):
            os.utime(path, (now - age, now - age))
    receiver.prune(database, observation())
    # Of the database before yesterday's; its last hours may still be wanted.
    assert sorted(path.name for path in Path(database.receiver).iterdir()) == ["66-1", "77-1"]


def test_the_services_copy_has_all_that_it_imports(tmp_path: Path) -> None:
    """Services run from a copy with a few modules beside it, and must not find ours by accident."""
    for name, file in manifest.library().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
    modules = sorted(
        "renecinfra.recovery."
        + ".".join(path.relative_to(tmp_path / "renecinfra" / "recovery").with_suffix("").parts)
        for path in (tmp_path / "renecinfra" / "recovery").rglob("*.py")
        if path.name != "__init__.py"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import importlib, renecinfra\n"
        f"assert renecinfra.__file__.startswith({str(tmp_path)!r})\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "import renecinfra.recovery.drill\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ENDING = """
import subprocess, threading, time
from renecinfra.recovery import service

started = []
thread = threading.Thread(
    target=lambda: started.append(subprocess.Popen(["sleep", "60"], start_new_session=True))
)
thread.start()
thread.join()
before = time.monotonic()
service.end_children(10)
assert time.monotonic() - before < 8
assert started[0].wait(1) == -15
"""


def test_what_it_started_ends_with_it() -> None:
    """A pgBackRest that lived on would hold the lock against the next one.

    In a process of its own: the children of this one are servers that other tests need.
    """
    done = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_service_without_its_file_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from renecinfra.recovery import service

    assert service.main([]) == 64
    assert service.main([str(tmp_path / "none.json"), "1"]) == 78
