"""The sums of the workers hook, and its counting of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from renecinfra.errors import HookError
from renecinfra.hooks import workers
from renecinfra.hooks.workers import Limits, client_connections, require_fit, sizing_report
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.services.supervision import ProcessState

PROFILE = Profile.model_validate({"environment": "local", "platform": {"kind": "local"}})
SIZING = Sizing(
    api_replicas=2,
    api_processes=1,
    api_pool_size=10,
    worker_replicas=1,
    worker_concurrency=2,
    pooler_pool_size=20,
    connections_needed=35,
    connections_available=100,
)


def test_what_fits_is_accepted_to_the_last_connection() -> None:
    clients = client_connections(PROFILE, SIZING)
    assert clients == 2 * 1 * 10 + 1 * 3 * 2 + 6
    require_fit(PROFILE, SIZING, Limits(max_connections=35, max_client_connections=clients, pool_size=20))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(34, 500, 20), "allows 34 connections, but PgBouncer's 20 and the 15 reserved make 35"),
        (Limits(100, 31, 20), "allows 31 clients, but 2 api × 1 processes × 10"),
        (Limits(100, 500, 19), "PgBouncer's pool has 19 connections instead of 20"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_sum(limits: Limits, words: str) -> None:
    with pytest.raises(HookError) as caught:
        require_fit(PROFILE, SIZING, limits)
    assert caught.value.id == "workers-sizing"
    assert words in caught.value.message
    assert caught.value.hint


def test_the_report_says_what_is_left() -> None:
    report = sizing_report(PROFILE, SIZING, Limits(100, 500, 20), cores=2)
    assert report["server_connections"] == {"pool": 20, "reserved": 15, "free": 65}
    assert report["client_connections"] == {"needed": 32, "free": 468}
    assert report["sizing"]["worker_concurrency"] == 2


def state(pid: int | None) -> ProcessState:
    return ProcessState("running" if pid else "backoff", pid, 1.0, None, 0)


def test_children_are_counted_and_zombies_are_not() -> None:
    script = (
        "import os, time\n"
        "if os.fork() == 0: os._exit(0)\n"
        "for _ in range(2):\n"
        "    if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "print('ready', flush=True)\n"
        "time.sleep(30)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(0.05)
            found = workers._children()
            assert len(found[child.pid]) == 2
            check = workers._count("worker-1", 2, {"worker-1": state(child.pid)}, found)
            assert (check.ok, check.detail) == (True, "2 of 2 child processes")
            assert not workers._count("worker-1", 3, {"worker-1": state(child.pid)}, found).ok
        finally:
            os.killpg(child.pid, 9)


def test_a_worker_that_does_not_run_is_named() -> None:
    assert workers._count("worker-1", 2, {}, {}).detail == "does not run"
    assert workers._count("worker-1", None, {"worker-1": state(None)}, {}).detail == "does not run"
    assert workers._count("api-1", None, {"api-1": state(1)}, {}).ok


def test_a_command_of_the_profile_has_its_own_number_unless_it_takes_ours() -> None:
    def worker(*command: str) -> bool:
        values = {"worker": {"command": list(command)}} if command else {}
        profile = Profile.model_validate({**PROFILE.model_dump(mode="json"), "workloads": values})
        return workers._says_concurrency(profile.workloads.worker)

    assert worker()
    assert worker("celery", "worker", "--concurrency={concurrency}")
    assert not worker("celery", "worker", "--concurrency=7")
