"""One run at a time for an environment, by a lock that the kernel ends with its holders.

The lock is flock(2) on an open file: it is gone when every process that has the file open is, however they
ended. A run passes the descriptor on to Terraform, so that the lock outlives a killed renecinfra for
exactly as long as its Terraform still works. What the file says is for people only.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import LockedError, ToolError
from renecinfra.identity import Runner, current_runner

# What is left of a killed run gets this long to end by itself: Terraform stops at its one SIGINT.
ORPHAN_SECONDS: Final = 30.0
# Who has just taken the lock writes its record within this; who only looks (`read_holder`) is gone sooner.
_NAMELESS_SECONDS: Final = 0.5
_POLL: Final = 0.1
_RECORD_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, with which command, since when."""

    runner: Runner
    command: str
    run_id: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class EnvironmentLock:
    """A held lock; give ``descriptor`` to what must keep it (``pass_fds``)."""

    descriptor: int
    holder: Holder


@contextmanager
def environment_lock(
    path: Path,
    command: str,
    *,
    wait: float = 0,
    run_id: str | None = None,
    note: Callable[[str], None] = lambda _text: None,
) -> Iterator[EnvironmentLock]:
    """Hold the lock of an environment until the end of the block.

    Args:
        path: the lock file; it stays, empty, when the lock is released.
        command: what this run does, for those who find it locked.
        wait: seconds to wait for another run to end.
        run_id: the journal's id of this run.
        note: told, once each, what is being waited for.

    Raises:
        LockedError: another run holds it, or what is left of one does after 30 s.
        ToolError: the file cannot be locked or written.
    """
    fd = _open(path)
    try:
        _acquire(fd, path, wait, note)
        holder = Holder(current_runner(), command, run_id, datetime.now(UTC).replace(microsecond=0))
        _write(fd, path, holder)
        try:
            yield EnvironmentLock(fd, holder)
        finally:
            os.ftruncate(fd, 0)
            # Explicitly, not by closing alone: all that belongs to this run has been waited for by now.
            fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)


def read_holder(path: Path) -> Holder | None:
    """Who holds the lock now, as far as the file says; None where nobody does."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _try(fd, path, fcntl.LOCK_SH):
            return None
        return _read(fd)
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> ToolError:
    return ToolError(
        "lock-unusable",
        f"the environment cannot be locked: {path}: {error.strerror}",
        hint="the state directory must be on a local disk with free space that you can write to",
    )


def _try(fd: int, path: Path, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # ENOLCK, EOPNOTSUPP: some network file systems
        raise _unusable(path, error) from error
    return True


def _acquire(fd: int, path: Path, wait: float, note: Callable[[str], None]) -> None:
    start = time.monotonic()
    told: set[str] = set()
    while not _try(fd, path, fcntl.LOCK_EX):
        holder = _read(fd)
        orphaned = holder is not None and holder.runner.here and not holder.runner.alive
        limit = max(wait, _patience(holder, orphaned=orphaned))
        if time.monotonic() - start >= limit:
            raise _locked(fd, path, holder, orphaned=orphaned)
        if holder is not None:
            text = _waiting(holder, orphaned=orphaned)
            if text not in told:
                told.add(text)
                note(text)
        time.sleep(_POLL)


def _patience(holder: Holder | None, *, orphaned: bool) -> float:
    """Seconds to wait for a holder in any case."""
    if holder is None:
        return _NAMELESS_SECONDS
    return ORPHAN_SECONDS if orphaned else 0.0


def _waiting(holder: Holder, *, orphaned: bool) -> str:
    if orphaned:
        return f"`{holder.command}` (pid {holder.runner.pid}) is gone; waiting for what it started to end"
    return f"waiting for `{holder.command}` of {holder.runner.user} (pid {holder.runner.pid}) to end"


def _locked(fd: int, path: Path, holder: Holder | None, *, orphaned: bool) -> LockedError:
    remaining = _processes_with(fd)
    details = tuple(f"pid {pid}: {command}" for pid, command in remaining)
    if holder is None:
        return LockedError(
            "locked",
            "another process holds the environment, and does not say which",
            hint="try again in a moment",
            details=details or (f"lock: {path}",),
        )
    who = f"{holder.runner.user}@{holder.runner.host}"
    since = f"since {holder.since:%Y-%m-%d %H:%M:%S} UTC ({_age(holder.since)})"
    if orphaned:
        return LockedError(
            "locked-by-orphan",
            f"`{holder.command}` of {who}, {since}, was killed, and what it started still runs",
            # Terraform has had its one SIGINT when its renecinfra died; a second signal loses its state.
            hint="it has been asked to stop: wait for it, and end it yourself only as the last resort",
            details=details,
        )
    return LockedError(
        "locked",
        f"{who} runs `{holder.command}` here {since}, as pid {holder.runner.pid}",
        hint="wait for it to end, or stop it with Ctrl-C where it runs",
    )


def _age(since: datetime) -> str:
    seconds = max(0, int((datetime.now(UTC) - since).total_seconds()))
    if seconds < 120:
        return f"for {seconds} s"
    if seconds < 7200:
        return f"for {seconds // 60} min"
    return f"for {seconds // 3600} h {seconds % 3600 // 60} min"


def _write(fd: int, path: Path, holder: Holder) -> None:
    record: dict[str, Any] = holder.runner.as_json() | {
        "command": holder.command,
        "run": holder.run_id,
        "since": holder.since.isoformat(),
    }
    data = json.dumps(record).encode() + b"\n"
    try:
        # One write over the old record, then the new length: a rename would leave the lock on the old file,
        # and truncating first would let a reader see nothing.
        os.pwrite(fd, data.ljust(os.fstat(fd).st_size, b" "), 0)
        os.ftruncate(fd, len(data))
    except OSError as error:
        raise _unusable(path, error) from error


def _read(fd: int) -> Holder | None:
    """The record; None where there is none yet, or one that was not written by us."""
    try:
        data = json.loads(os.pread(fd, _RECORD_MAX, 0))
        since = datetime.fromisoformat(data["since"])
        return Holder(Runner.from_json(data), str(data["command"]), data.get("run"), since)
    except (ValueError, LookupError, TypeError):
        return None


def _processes_with(fd: int) -> list[tuple[int, str]]:
    """Other processes that have the file open, with their command lines, as far as we may look."""
    ours = os.fstat(fd)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) != os.getpid() and _has_open(process, ours):
            found.append((int(process.name), _command_line(process)))
    return sorted(found)


def _has_open(process: Path, file: os.stat_result) -> bool:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:  # gone, or another user's
        return False
    for descriptor in descriptors:
        try:
            if os.path.samestat(descriptor.stat(), file):
                return True
        except OSError:
            continue
    return False


def _command_line(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone meanwhile"
    return " ".join(word.decode(errors="replace") for word in words if word)[:200]
