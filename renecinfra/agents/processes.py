"""Which processes belong to an environment, read from /proc, and how they are ended.

Two things say that a process belongs: the variable RENECINFRA_SERVICE in its environment, and the process
group that the launcher recorded. Both are needed, because nginx and PostgreSQL write their titles over the
memory that /proc/PID/environ shows. Only processes of the service user are ever looked at, so that root,
who ends them, cannot be led to end anyone else's.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

MARKER = "RENECINFRA_SERVICE"
# How long to wait for the kernel to take a process away after SIGKILL.
_KILL_SECONDS = 5.0


class Process(NamedTuple):
    """A live process. ``started`` is in clock ticks since boot; with the pid it names one for good."""

    pid: int
    group: int
    started: int


class Record(NamedTuple):
    """What the launcher noted of a service's latest start; ``starts`` counts since ``control start``."""

    pid: int
    started: int
    boot: str
    starts: int


def read(pid: int) -> Process | None:
    """The process with this id; None when it is gone or a zombie (PID 1 may never reap one)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # proc(5): the name, in brackets, may itself hold brackets and spaces.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[2]), int(fields[19]))


def marker(pid: int) -> str | None:
    """The environment and service that the process was started for, as ``<home>/<service>``."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    prefix = MARKER.encode() + b"="
    for entry in environ.split(b"\0"):
        if entry.startswith(prefix):
            return os.fsdecode(entry[len(prefix) :])
    return None


def boot_id() -> str:
    """Changes at every boot of the machine: a record from before is of no process of today."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def read_record(path: Path) -> Record | None:
    """A launcher's record; None when there is none or it cannot be understood."""
    try:
        data = json.loads(_read_own(path))
        return Record(int(data["pid"]), int(data["started"]), str(data["boot"]), int(data["starts"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_own(path: Path) -> bytes:
    # The directory belongs to the service user: do not follow what it may have linked there.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(4096)


def write_record(path: Path) -> None:
    """Note the calling process, which is about to become the service."""
    previous = read_record(path)
    me = read(os.getpid())
    if me is None:  # pragma: no cover - a process that runs is in /proc
        raise OSError("/proc does not show this process")
    starts = previous.starts + 1 if previous else 1
    record = Record(me.pid, me.started, boot_id(), starts)
    temporary = path.with_name(f".{path.name}.{me.pid}")
    temporary.write_text(json.dumps(record._asdict()), encoding="ascii")
    temporary.replace(path)


def record_path(run: Path, service: str) -> Path:
    """Where the launcher notes a service's latest start."""
    return run / f"{service}.json"


def belonging(home: Path, run: Path, uid: int, service: str | None = None) -> list[Process]:
    """Live processes of one service, or of the whole environment with its supervisor; not the caller."""
    records = _records(run, service)
    return [process for process in _of_user(uid) if _belongs(process, home, service, records)]


def owner(home: Path, run: Path, pid: int) -> bool:
    """Whether one process belongs to the environment."""
    process = read(pid)
    return process is not None and _belongs(process, home, None, _records(run, None))


def _of_user(uid: int) -> Iterator[Process]:
    me = os.getpid()
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted, of hundreds
        if not name.isdigit() or int(name) == me:
            continue
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == uid:  # noqa: PTH116 - as above
                process = read(int(name))
                if process is not None:
                    yield process


def _belongs(process: Process, home: Path, service: str | None, records: list[Record]) -> bool:
    # A group keeps its number for as long as it has a member, and members are younger than their leader.
    if any(process.group == record.pid and process.started >= record.started for record in records):
        leader = read(process.group)
        if leader is None or any(leader[0] == r.pid and leader.started == r.started for r in records):
            return True
    mark = marker(process.pid)
    if mark is None:
        return False
    return mark == f"{home}/{service}" if service else mark.rpartition("/")[0] == str(home)


def _records(run: Path, service: str | None) -> list[Record]:
    try:
        paths = [record_path(run, service)] if service else list(run.glob("*.json"))
    except OSError:
        return []
    boot = boot_id()
    return [record for path in paths if (record := read_record(path)) and record.boot == boot]


def end(find: Callable[[], list[Process]], first: signal.Signals, grace: float) -> list[Process]:
    """End every process that ``find`` finds, and return those that even SIGKILL did not end.

    Leaders of a group get ``first`` and see to their children; whoever is left without a leader gets SIGTERM;
    after ``grace`` seconds all get SIGKILL.
    """
    signalled: set[tuple[Process, signal.Signals]] = set()
    deadline, pause = time.monotonic() + grace, 0.005
    while left := find():
        now = time.monotonic()
        if now > deadline + _KILL_SECONDS:
            return left
        for process, number in _targets(left, first, killing=now > deadline):
            if (process, number) not in signalled:
                signalled.add((process, number))
                _signal(process, number)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return []


def _targets(
    left: list[Process], first: signal.Signals, *, killing: bool
) -> list[tuple[Process, signal.Signals]]:
    if killing:
        return [(process, signal.SIGKILL) for process in left]
    leaders = [process for process in left if process.pid == process.group]
    return [(p, first) for p in leaders] or [(p, signal.SIGTERM) for p in left]


def _signal(process: Process, number: signal.Signals) -> None:
    # A pidfd, so that the number cannot come to mean another process between the check and the signal.
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(process.pid)
        try:
            now = read(process.pid)
            if now is not None and now.started == process.started:
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
