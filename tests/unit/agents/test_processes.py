"""Which processes belong to an environment, and that only those are ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from renecinfra.agents import processes


@contextmanager
def process(environ: dict[str, str], script: str = "exec sleep 1000") -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        ["/bin/sh", "-c", script], env={**environ, "PATH": "/usr/bin:/bin"}, process_group=0
    )
    try:
        # Until the exec, /proc shows the test's own environment.
        while (processes.marker(started.pid) is not None) is not bool(environ):
            time.sleep(0.005)
        yield started
    finally:
        started.kill()
        started.wait()


def belonging(home: Path, service: str | None = None) -> list[int]:
    found = processes.belonging(home, home / "run", os.geteuid(), service)
    return [one.pid for one in found]


def record(home: Path, service: str, **changes: object) -> None:
    (home / "run").mkdir(exist_ok=True)
    me = {"pid": 1, "started": 0, "boot": processes.boot_id(), "starts": 1, **changes}
    processes.record_path(home / "run", service).write_text(json.dumps(me))


def test_by_marker(tmp_path: Path) -> None:
    with process({processes.MARKER: f"{tmp_path}/api-1"}) as one:
        assert belonging(tmp_path) == belonging(tmp_path, "api-1") == [one.pid]
        assert belonging(tmp_path, "api-10") == belonging(tmp_path, "api") == []
        assert belonging(tmp_path.parent) == []
        assert belonging(tmp_path / "api-1") == []
        assert processes.owner(tmp_path, tmp_path / "run", one.pid)
        assert not processes.owner(tmp_path, tmp_path / "run", os.getpid())
        assert processes.belonging(tmp_path, tmp_path / "run", os.geteuid() + 1) == []


def test_by_the_recorded_group(tmp_path: Path) -> None:
    with process({}) as one:
        seen = processes.read(one.pid)
        assert seen is not None
        assert belonging(tmp_path) == []
        record(tmp_path, "edge", pid=one.pid, started=seen.started)
        assert belonging(tmp_path) == belonging(tmp_path, "edge") == [one.pid]
        assert belonging(tmp_path, "api-1") == []
        # A record of a process before this one, which had the same number; and one from before a boot.
        record(tmp_path, "edge", pid=one.pid, started=seen.started - 1)
        assert belonging(tmp_path) == []
        record(tmp_path, "edge", pid=one.pid, started=seen.started, boot="another")
        assert belonging(tmp_path) == []


def test_a_group_without_its_leader(tmp_path: Path) -> None:
    with process({}, "sleep 1000 & echo; wait") as one:
        seen = processes.read(one.pid)
        assert seen is not None
        record(tmp_path, "edge", pid=one.pid, started=seen.started)
        while len(belonging(tmp_path)) < 2:
            time.sleep(0.005)
        one.kill()
        one.wait()
        (child,) = belonging(tmp_path)
        assert child != one.pid
        left = processes.end(
            lambda: processes.belonging(tmp_path, tmp_path / "run", os.geteuid()), signal.SIGQUIT, 5
        )
        assert left == belonging(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_record_that_means_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "edge.json").write_text(text)
    assert processes.read_record(tmp_path / "edge.json") is None


def test_a_record_is_not_read_through_a_link(tmp_path: Path) -> None:
    record(tmp_path, "real")
    link = tmp_path / "run" / "edge.json"
    link.symlink_to(tmp_path / "run" / "real.json")
    assert processes.read_record(tmp_path / "run" / "real.json") is not None
    assert processes.read_record(link) is None


def test_records_count_starts(tmp_path: Path) -> None:
    path = tmp_path / "edge.json"
    processes.write_record(path)
    processes.write_record(path)
    seen = processes.read_record(path)
    me = processes.read(os.getpid())
    assert seen is not None
    assert me is not None
    assert (seen.pid, seen.started, seen.starts) == (me.pid, me.started, 2)


def test_a_zombie_is_gone() -> None:
    child = subprocess.Popen(["/bin/true"])
    deadline = time.monotonic() + 5
    while processes.read(child.pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert Path(f"/proc/{child.pid}").exists()
    child.wait()


def test_a_name_with_brackets_and_blanks(tmp_path: Path) -> None:
    program = tmp_path / "a) S (b"
    program.symlink_to(sys.executable)
    child = subprocess.Popen([program, "-c", "import time; time.sleep(1000)"])
    try:
        seen = processes.read(child.pid)
        assert seen is not None
        assert seen.group == os.getpgrp()
    finally:
        child.kill()
        child.wait()


def test_end_asks_first_and_kills_after_the_grace(tmp_path: Path) -> None:
    script = "trap '' TERM; touch ready; while :; do sleep 0.05; done"
    marker = {processes.MARKER: f"{tmp_path}/api-1"}
    with process(marker, f"cd {tmp_path}; {script}") as stubborn, process(marker) as meek:
        while not (tmp_path / "ready").exists():
            time.sleep(0.005)

        def find() -> list[processes.Process]:
            meek.poll()
            return processes.belonging(tmp_path, tmp_path / "run", os.geteuid())

        begun = time.monotonic()
        assert processes.end(find, signal.SIGTERM, 0.3) == []
        assert 0.3 <= time.monotonic() - begun < 3
        assert meek.wait() == -signal.SIGTERM
        assert stubborn.wait() == -signal.SIGKILL
