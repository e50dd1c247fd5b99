"""What supervisord and the launcher say of a process, in our words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from renecinfra.agents.home import Home
from renecinfra.agents.processes import record_path
from renecinfra.services import supervision
from renecinfra.services.supervision import ProcessState


def state(tmp_path: Path, **changes: object) -> ProcessState:
    home = Home(tmp_path, tmp_path, os.getuid(), os.getgid(), "/usr/bin/python3", "x")
    info = {
        "name": "api-1",
        "statename": "RUNNING",
        "pid": 7,
        "now": 100,
        "start": 90,
        "stop": 0,
        "exitstatus": 0,
    }
    return supervision._process_state(home, {**info, **changes})


def test_running(tmp_path: Path) -> None:
    assert state(tmp_path) == ProcessState("running", 7, 10, None, None)


def test_restarts_are_the_launchers(tmp_path: Path) -> None:
    record_path(tmp_path, "api-1").write_text(json.dumps({"pid": 7, "started": 1, "boot": "b", "starts": 3}))
    assert state(tmp_path).restarts == 2


@pytest.mark.parametrize(
    ("statename", "status", "expected"),
    [
        ("EXITED", 0, "done"),
        ("EXITED", 3, "failed"),
        ("FATAL", 3, "failed"),
        ("BACKOFF", 3, "backoff"),
        ("STOPPED", 0, "stopped"),
        ("STOPPING", 0, "stopping"),
        ("STARTING", 0, "starting"),
        ("UNKNOWN", 0, "unknown"),
    ],
)
def test_states(tmp_path: Path, statename: str, status: int, expected: str) -> None:
    seen = state(tmp_path, statename=statename, exitstatus=status, stop=95, pid=0)
    assert (seen.state, seen.pid, seen.uptime, seen.exit_status) == (expected, None, 0, status)


def test_a_clock_set_back_gives_no_negative_uptime(tmp_path: Path) -> None:
    assert state(tmp_path, now=80).uptime == 0
