"""The workers hook against real PostgreSQL, PgBouncer and Redis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from renecinfra.errors import HookError
from renecinfra.hooks import workers
from renecinfra.hooks.protocol import HookContext
from renecinfra.hooks.workers import WorkersHook
from renecinfra.platforms.local import access
from renecinfra.services.supervision import ProcessState

from .conftest import SIZING, Stack

pytestmark = pytest.mark.integration
PARENT = """
import os, time
for _ in range(2):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
print("ready", flush=True)
time.sleep(60)
"""


class Processes:
    """What the supervisor would say."""

    found: dict[str, ProcessState] = {}

    def __init__(self, _paths: object) -> None:
        pass

    def processes(self) -> dict[str, ProcessState]:
        return self.found


@pytest.fixture
def context(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[HookContext]:
    monkeypatch.setattr(workers, "Supervision", Processes)
    monkeypatch.setattr(workers, "_VERIFY_SECONDS", 0.3)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        running = ProcessState("running", parent.pid, 1.0, None, 0)
        idle = subprocess.Popen(["sleep", "60"])
        api = ProcessState("running", idle.pid, 1.0, None, 0)
        Processes.found = {"api-1": api, "api-2": api, "worker-1": running}
        try:
            yield HookContext(stack.profile, stack.host, SIZING, stack.secrets, lambda _line: None)
        finally:
            idle.kill()
            idle.wait()
            os.killpg(parent.pid, signal.SIGKILL)


def test_the_live_limits_fit_and_are_reported(context: HookContext) -> None:
    assert WorkersHook().run(context) == "2 api processes, 2 worker processes, 35 of 100 connections"
    report = json.loads((context.host.paths.state / workers.REPORT).read_text())
    assert report["limits"] == {"max_connections": 100, "max_client_connections": 500, "pool_size": 20}


def test_another_pool_than_was_sized_is_refused(context: HookContext) -> None:
    other = replace(context, sizing=replace(SIZING, pooler_pool_size=21))
    with pytest.raises(HookError) as caught:
        WorkersHook().run(other)
    assert caught.value.message == "PgBouncer's pool has 20 connections instead of 21"


def test_processes_and_queues_are_counted(context: HookContext, stack: Stack) -> None:
    assert {check.name for check in WorkersHook().verify(context) if not check.ok} == {"queues"}
    with redis.Redis.from_url(access.redis_url(stack.profile, stack.host, stack.secrets, "broker")) as broker:
        broker.hset("unacked", "a message that is being worked on", "{}")
        assert [check for check in WorkersHook().verify(context) if not check.ok] == []
        Processes.found.pop("api-2")
        [check] = [check for check in WorkersHook().verify(context) if not check.ok]
        assert (check.name, check.detail) == ("api-2", "does not run")
        three = replace(context, sizing=replace(SIZING, worker_concurrency=3))
        assert "2 of 3 child processes" in [check.detail for check in WorkersHook().verify(three)]
        broker.delete("unacked")


def test_a_worker_that_waits_for_work_counts(context: HookContext, stack: Stack) -> None:
    def wait_for_work() -> None:
        url = access.redis_url(stack.profile, stack.host, stack.secrets, "broker")
        with redis.Redis.from_url(url) as waiting:
            waiting.brpop(["harvest"], timeout=10)

    worker = threading.Thread(target=wait_for_work)
    worker.start()
    monitor = access.redis_url(stack.profile, stack.host, stack.secrets, "broker", role="monitor")
    try:
        with redis.Redis.from_url(monitor) as broker:
            while not any(client["cmd"] == "brpop" for client in broker.client_list()):
                time.sleep(0.02)
        [queues] = [check for check in WorkersHook().verify(context) if check.name == "queues"]
    finally:
        url = access.redis_url(stack.profile, stack.host, stack.secrets, "broker")
        with redis.Redis.from_url(url) as broker:
            broker.lpush("harvest", "work")
        worker.join()
    assert queues.ok
    assert queues.detail == "1 workers wait for work, 0 messages are being worked on"


def test_a_server_that_does_not_answer_is_named_without_its_password(
    context: HookContext, stack: Stack
) -> None:
    stack.stop("pgbouncer")
    try:
        with pytest.raises(HookError) as caught:
            WorkersHook().run(context)
    finally:
        stack.start("pgbouncer")
    assert caught.value.id == "workers-unreachable"
    assert caught.value.message.startswith("pgbouncer does not say what it allows")
    assert stack.secrets[access.MONITORING_PASSWORD].value.reveal() not in caught.value.message
