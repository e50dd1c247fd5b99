"""Whole harvests of the fake site by real Celery workers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import redis

from renecinfra.reference.queues import enqueue, make_app
from renecinfra.reference.register import generate

from .conftest import Workload, free_port, get, wait_until

pytestmark = pytest.mark.integration


def contents(workload: Workload) -> dict[str, int]:
    tables = {
        "ec_standards_v2": "harvest_run_id IS NOT NULL",
        "certificadores_v2": "harvest_run_id IS NOT NULL",
        "centros_v2": "harvest_run_id IS NOT NULL",
        "ece_ec": "true",
        "centro_ec": "true",
        "crawl_map": "status_code = 200",
    }
    return {
        table: workload.query(f"SELECT count(*) FROM {table} WHERE {condition}")[0][0]
        for table, condition in tables.items()
    }


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_first_harvest_happens_once_with_two_workers(workload: Workload) -> None:
    workload.site(latency_scale=0.01, standards=70, certifiers=12, centres=30)
    port = free_port()
    workload.worker("worker-1", RENEC_FIRST_HARVEST="1", PROMETHEUS_METRICS_PORT=str(port))
    workload.worker("worker-2", RENEC_FIRST_HARVEST="1", RENEC_METRICS_DIR="")
    wait_until(lambda: "succeeded" in workload.runs(), 30, "the first harvest")

    register = generate(70, 12, 30)
    found = contents(workload)
    assert (found["ec_standards_v2"], found["certificadores_v2"], found["centros_v2"]) == (70, 12, 30)
    assert found["ece_ec"] == sum(len(item.estandares) for item in register.certifiers)
    assert found["centro_ec"] == sum(len(item.estandares) for item in register.centres)
    # robots.txt, two lists of names, three lists of records (one has a second page), the records
    assert found["crawl_map"] == 1 + 2 + 4 + 112
    [(mode, requests, standards, error)] = workload.query(
        "SELECT mode, requests, standards, error FROM harvest_runs"
    )
    assert (mode, requests, standards, error) == ("daily", 119, 70, None)

    with redis.Redis.from_url(workload.broker.url) as connection:
        wait_until(lambda: connection.get("cache:version") == b"1")
        wait_until(lambda: connection.hlen("unacked") == 0, what="the acknowledgement")
        assert connection.llen("harvest") == connection.llen("monitoring") == 0
        for queue in ("harvest", "monitoring"):  # each has its own exchange, so that none gets the other's
            assert connection.scard(f"_kombu.binding.{queue}") == 1
    status, text, _ = get(f"http://127.0.0.1:{port}/metrics")
    assert status == 200 and "renec_harvest_active_spiders 0.0" in text


def test_a_second_daily_harvest_reads_only_lists_and_a_full_one_everything(workload: Workload) -> None:
    workload.site(latency_scale=0, standards=5, certifiers=2, centres=3)
    workload.worker()
    app = make_app(workload.broker.url)
    for number, mode in enumerate(("daily", "daily", "full"), 1):
        enqueue(app, mode)  # type: ignore[arg-type]
        wait_until(lambda n=number: workload.runs() == ["succeeded"] * n, 20, f"harvest {number}")
    assert workload.query("SELECT requests FROM harvest_runs ORDER BY run_id") == [(16,), (6,), (16,)]


def test_a_changed_record_is_read_again(workload: Workload) -> None:
    workload.site(latency_scale=0, standards=5, certifiers=2, centres=3)
    workload.worker()
    app = make_app(workload.broker.url)
    enqueue(app, "daily")
    wait_until(lambda: workload.runs() == ["succeeded"], 20)
    workload.query(
        "UPDATE centros_v2 SET revision = 0, nombre = 'viejo' WHERE centro_id = 'CE00002' RETURNING 1"
    )
    enqueue(app, "daily")
    wait_until(lambda: workload.runs() == ["succeeded"] * 2, 20)
    assert workload.query("SELECT count(*) FROM centros_v2 WHERE nombre = 'viejo'") == [(0,)]
    assert workload.query("SELECT requests FROM harvest_runs WHERE run_id = 2") == [(7,)]


@pytest.mark.parametrize("victim", ["worker", "child"])
def test_a_killed_harvest_is_marked_and_done_again(workload: Workload, victim: str) -> None:
    workload.site(latency_scale=0.05, standards=120, certifiers=10, centres=10)
    worker = workload.worker()
    enqueue(make_app(workload.broker.url), "daily", "the-task")
    wait_until(lambda: workload.runs() == ["running"], 20)
    time.sleep(0.3)
    if victim == "worker":
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        assert workload.runs() == ["running"]  # nobody was there to say otherwise
        workload.worker()
    else:
        for pid in children(worker.pid):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: workload.runs() == ["interrupted", "succeeded"], 30, "the second try")
    assert workload.query("SELECT DISTINCT task_id FROM harvest_runs") == [("the-task",)]
    assert contents(workload)["ec_standards_v2"] == 120


@pytest.mark.parametrize("whole_group", [True, False])
def test_quit_ends_a_worker_at_once_and_its_harvest_is_queued_again(
    workload: Workload, whole_group: bool
) -> None:
    workload.site(latency_scale=1, standards=60)
    worker = workload.worker()
    enqueue(make_app(workload.broker.url), "full", "the-task")
    wait_until(lambda: workload.runs() == ["running"], 20)
    (os.killpg if whole_group else os.kill)(worker.pid, signal.SIGQUIT)
    worker.wait(timeout=10)
    # A child that gets the signal itself may be gone before it can say so; the next worker does.
    assert workload.runs() in ([["interrupted"], ["running"]] if whole_group else [["interrupted"]])
    with redis.Redis.from_url(workload.broker.url) as connection:
        assert connection.llen("harvest") == 1


def test_a_site_that_is_down_fails_the_run_and_says_why(workload: Workload) -> None:
    workload.site(latency_scale=0, error_rate=0.999999)
    workload.worker()
    enqueue(make_app(workload.broker.url), "daily")
    wait_until(lambda: workload.runs() == ["failed"], 30)
    [(error,)] = workload.query("SELECT error FROM harvest_runs")
    assert "503" in error or "left alone" in error


def test_beat_writes_its_schedule_and_sends_nothing_yet(workload: Workload, tmp_path: Path) -> None:
    schedule = tmp_path / "beat" / "schedule"
    schedule.parent.mkdir()
    beat = ("celery", "-A", "renecinfra.reference.schedule", "beat", f"--schedule={schedule}", "--pidfile=")
    process = workload.processes.python(*beat, environment=workload.environment)
    wait_until(lambda: list(schedule.parent.iterdir()), 10, "the schedule")
    process.terminate()
    assert process.wait(timeout=5) == 0
    with redis.Redis.from_url(workload.broker.url) as connection:
        assert connection.llen("harvest") == connection.llen("monitoring") == 0
