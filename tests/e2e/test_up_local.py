"""`renecinfra up local`, from nothing to running, watched and back to nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import urllib3

pytestmark = pytest.mark.e2e


def wait_for(what, seconds=20.0):
    """Poll until ``what()`` is true; returns the seconds that it took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if what():
            return time.monotonic() - started
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def prometheus(cli, path):
    url = f"http://127.0.0.1:{cli.port_base + 50}{path}"
    return json.loads(urllib3.request("GET", url, retries=False, timeout=5).data)


def test_everything_is_healthy_and_serves_through_the_edge(environment):
    status = environment.status()
    assert status["ok"], status
    answer = environment.get("/api/v1/ec-standards")
    assert answer.status == 200
    assert answer.json()["items"]
    assert {d["role"] for d in status["databases"]} == {"primary", "replica"}


def test_the_worker_harvests_the_fake_site_into_the_tables(environment):
    wait_for(lambda: (environment.status()["harvest"] or {}).get("status") == "succeeded", 40)
    assert environment.status()["harvest"]["items"] > 0


def test_prometheus_scrapes_every_target(environment):
    targets = prometheus(environment, "/api/v1/targets?state=active")["data"]["activeTargets"]
    assert len(targets) >= 10
    assert [t["scrapeUrl"] for t in targets if t["health"] != "up"] == []


def test_a_second_up_has_nothing_to_do(environment):
    before = sorted(environment.marked())
    result = json.loads(environment.ok("up", environment.environment, "--yes", "--json"))
    assert not result["changed"]
    assert sorted(environment.marked()) == before
    assert environment.run("plan", environment.environment, "--detailed-exitcode").returncode == 0


def test_without_a_terminal_a_change_is_refused(environment):
    done = environment.run("up", environment.environment, "--set", "workloads.api.replicas=1")
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert environment.wrong() == []


def test_a_profile_change_touches_only_what_it_concerns(environment):
    name = environment.environment
    before = {s["name"]: s["pid"] for s in environment.status()["services"]}
    done = environment.run(
        "plan", name, "--detailed-exitcode", "--json", "--set", "cache.cache.max_memory=96Mi"
    )
    assert done.returncode == 2
    changed = [c["address"] for c in json.loads(done.stdout)["terraform"]]
    assert changed == ['terraform_data.foundation["redis-cache"]']
    assert {s["name"]: s["pid"] for s in environment.status()["services"]} == before


SERVICES = [
    "openbao", "certificates",
    "postgresql-primary", "postgresql-replica", "pgbouncer", "redis-broker", "redis-cache", "site", "api-1",
    "worker-1", "beat", "edge", "prometheus", "alertmanager", "node-exporter", "blackbox-exporter",
    "nginx-exporter", "postgresql-primary-exporter", "postgresql-replica-exporter", "pgbouncer-exporter",
    "redis-broker-exporter", "redis-cache-exporter",
]  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_a_killed_service_heals_and_status_tells_the_truth(environment, name):
    environment.wait_until_ok()
    pid = environment.service(name)["pid"]
    os.kill(pid, signal.SIGKILL)
    seen = []

    def healed():
        service = environment.service(name)
        seen.append(service["state"])
        return service["state"] == "healthy" and service["pid"] != pid

    wait_for(healed, 30)
    assert environment.service(name)["pid"] != pid
    # Never healthy with the dead process's pid, and always one of the words that the documentation has.
    assert set(seen) <= {"healthy", "unhealthy", "starting", "restarting", "stopped", "failed"}
    environment.wait_until_ok()


def test_a_dead_supervisor_is_found_and_everything_is_brought_back(environment):
    name = environment.environment
    supervisor = next(
        pid for pid in environment.marked() if b"supervisord" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not environment.status()["ok"])
    environment.ok("up", name, "--yes")
    assert environment.wrong() == []
    assert environment.get("/api/v1/ec-standards").status == 200


def test_two_ups_at_once_the_second_says_who_holds_the_lock(environment):
    name = environment.environment
    change = ["--set", "cache.broker.max_clients=499"]
    first = environment.start("up", name, "--yes", *change)
    try:
        wait_for(lambda: b"since" in (environment.state / "lock").read_bytes())
        second = environment.run("up", name, "--yes", *change)
        assert second.returncode == 11, second.stderr
        assert str(first.pid) in second.stderr
        assert "since" in second.stderr or "ago" in second.stderr
    finally:
        first.communicate(timeout=120)
    assert first.returncode == 0
    environment.ok("up", name, "--yes")


def test_restart_and_logs(environment):
    name = environment.environment
    before = environment.service("api-2")["pid"]
    environment.ok("restart", name, "api-2")
    assert environment.service("api-2")["pid"] != before
    assert environment.ok("logs", name, "api-2", "-n", "5")
    wrong = environment.run("logs", name, "apii-2")
    assert wrong.returncode == 64
    assert "did you mean api-2" in wrong.stderr


def test_two_environments_run_side_by_side(environment, fresh):
    fresh.ok("up", fresh.environment, "--yes")
    assert fresh.wrong() == []
    assert environment.wrong() == []
    assert set(fresh.marked()).isdisjoint(environment.marked())


def test_a_taken_port_is_named_with_its_holder(environment, fresh):
    taken = environment.port_base
    done = fresh.run("up", fresh.environment, "--yes", "--set", f"platform.port_base={taken}")
    assert done.returncode == 4
    assert environment.environment in done.stderr or "pid" in done.stderr
    assert not fresh.home.exists()


def test_down_keeps_data_when_told_to_and_up_uses_it_again(fresh):
    name = fresh.environment
    fresh.ok("up", name, "--yes")
    wait_for(lambda: (fresh.status()["harvest"] or {}).get("status") == "succeeded", 40)
    started = fresh.status()["harvest"]["started"]
    fresh.ok("down", name, "--yes", "--keep-data")
    assert fresh.marked() == []
    assert fresh.run("status", name).returncode == 1
    fresh.ok("up", name, "--yes")
    assert fresh.status()["harvest"]["started"] == started
    fresh.ok("down", name, "--yes")
    assert not fresh.home.exists()
    assert not (fresh.state / "secrets.json").exists()


def test_down_without_a_terminal_deletes_nothing(environment):
    done = environment.run("down", environment.environment)
    assert done.returncode == 1
    assert environment.wrong() == []
