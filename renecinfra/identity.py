"""Who runs a command: user, host and process, told apart from a later process with the same number."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Runner:
    """A process of a user on a host; ``start`` is when it started, in ticks since boot (proc(5))."""

    pid: int
    user: str
    host: str
    start: int | None

    @property
    def here(self) -> bool:
        """Whether it ran on this machine."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it runs on this machine now; a zombie does not."""
        if not self.here:
            return False
        if self.start is not None:
            return _start(self.pid) == self.start
        return _exists(self.pid)

    def as_json(self) -> dict[str, Any]:
        """For a lock or a journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Runner:
        """From :meth:`as_json`; raises ValueError where it is something else."""
        pid, start = data.get("pid"), data.get("start")
        if not isinstance(pid, int) or not (start is None or isinstance(start, int)):
            raise ValueError("not a runner")
        return cls(pid, str(data.get("user")), str(data.get("host")), start)


def current_runner() -> Runner:
    """This process."""
    return Runner(os.getpid(), _user(), socket.gethostname(), _start(os.getpid()))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry, as in some containers
        return f"uid {os.getuid()}"


def _start(pid: int) -> int | None:
    """When a process started; None for one that is gone or a zombie, and on systems without /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, field 2, is in brackets and may hold anything; 3 is the state and 22 the start.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
