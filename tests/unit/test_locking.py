from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from renecinfra import locking
from renecinfra.errors import LockedError, ToolError
from renecinfra.locking import environment_lock, read_holder

# Holds the lock, says so, and lives until it is killed; with a third argument a child of it has the lock too.
HOLD = """
import subprocess, sys, time
from pathlib import Path
from renecinfra.locking import environment_lock
with environment_lock(Path(sys.argv[1]), "up local", run_id="r1") as lock:
    child = 0
    if sys.argv[2]:
        child = subprocess.Popen(["sleep", sys.argv[2]], pass_fds=[lock.descriptor]).pid
    print(child, flush=True)
    time.sleep(60)
"""


class OtherRun:
    """Another process that holds the lock."""

    def __init__(self, path: Path, child_seconds: str = "") -> None:
        reading, writing = os.pipe()
        self.pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", HOLD, str(path), child_seconds],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)],
        )
        os.close(writing)
        with os.fdopen(reading) as stream:
            self.child = int(stream.readline())
        self._ended = False

    def kill(self) -> None:
        if not self._ended:
            self._ended = True
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "lock"


def test_a_held_lock_says_who_what_and_since_when(path: Path) -> None:
    other = OtherRun(path)
    try:
        with pytest.raises(LockedError) as caught, environment_lock(path, "down local"):
            pass
        assert caught.value.id == "locked"
        assert "`up local`" in caught.value.message
        assert f"pid {other.pid}" in caught.value.message
        assert "(for " in caught.value.message
        assert caught.value.hint
        holder = read_holder(path)
        assert holder is not None
        assert (holder.runner.pid, holder.command, holder.run_id) == (other.pid, "up local", "r1")
    finally:
        other.kill()


def test_a_killed_run_leaves_no_lock(path: Path) -> None:
    OtherRun(path).kill()

    with environment_lock(path, "up local") as lock:
        assert lock.holder.runner.pid == os.getpid()


def test_a_released_lock_is_free_and_says_nothing(path: Path) -> None:
    with environment_lock(path, "up local"):
        assert read_holder(path) is not None

    assert path.read_bytes() == b""
    assert read_holder(path) is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_released_when_the_block_fails(path: Path) -> None:
    with pytest.raises(RuntimeError), environment_lock(path, "up local"):
        raise RuntimeError

    with environment_lock(path, "up local"):
        pass


def test_within_one_process_it_is_exclusive_too(path: Path) -> None:
    with (
        environment_lock(path, "up local"),
        pytest.raises(LockedError, match=f"pid {os.getpid()}"),
        environment_lock(path, "up local"),
    ):
        pass


def test_waiting_for_another_run(path: Path) -> None:
    other = OtherRun(path)
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        other.kill()

    with environment_lock(path, "down local", wait=10, note=note):
        pass

    assert notes[0].startswith("waiting for `up local` of ")


def test_what_a_killed_run_started_is_waited_for(path: Path) -> None:
    other = OtherRun(path, child_seconds="1.5")
    other.kill()
    notes: list[str] = []
    began = time.monotonic()

    with environment_lock(path, "up local", note=notes.append):
        assert time.monotonic() - began > 0.5

    assert notes == [f"`up local` (pid {other.pid}) is gone; waiting for what it started to end"]


def test_what_a_killed_run_started_and_does_not_end_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "ORPHAN_SECONDS", 0.3)
    other = OtherRun(path, child_seconds="60")
    other.kill()
    try:
        with pytest.raises(LockedError) as caught, environment_lock(path, "up local"):
            pass
        assert caught.value.id == "locked-by-orphan"
        assert caught.value.details == (f"pid {other.child}: sleep 60",)
    finally:
        os.kill(other.child, signal.SIGKILL)


def test_a_number_that_another_process_got_since_is_not_the_holder(path: Path) -> None:
    with environment_lock(path, "up local") as lock:
        record = path.read_text()
        assert f'"start": {lock.holder.runner.start}' in record
        path.write_text(record.replace(f'"start": {lock.holder.runner.start}', '"start": 1'))
        holder = read_holder(path)

    assert holder is not None
    assert not holder.runner.alive


@pytest.mark.parametrize(
    "content", [b"", b"torn {", b"[]", b'{"pid": "x", "since": "2026-01-01T00:00:00+00:00"}']
)
def test_a_holder_that_says_nothing_readable(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="does not say which"), environment_lock(path, "up local"):
            pass


def test_who_only_looks_does_not_keep_a_run_out(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.2, fcntl.flock, [file, fcntl.LOCK_UN]).start()
        with environment_lock(path, "up local") as lock:
            assert lock.holder.command == "up local"


def test_a_longer_record_before_leaves_no_rest(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("x" * 3000)
    with environment_lock(path, "up local"):
        holder = read_holder(path)

    assert holder is not None
    assert holder.command == "up local"


def test_a_full_disk(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    with (
        pytest.raises(ToolError, match="No space left on device") as caught,
        environment_lock(path, "up local"),
    ):
        pass

    assert caught.value.id == "lock-unusable"


def test_a_read_only_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ToolError, match="Read-only file system"), environment_lock(path, "up local"):
        pass


def test_a_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ToolError, match="No locks available"), environment_lock(path, "up local"):
        pass
