"""What the CLI asks of an environment's running services, through the agents."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from renecinfra.agents import health, lifecycle, logs, processes, supervisord
from renecinfra.agents.home import AgentError, Home, Manifest, load_home, load_manifest
from renecinfra.agents.rpc import SupervisorDown, SupervisorFault
from renecinfra.errors import ToolError, UsageError
from renecinfra.workspace import EnvironmentPaths

_FOLLOW_SECONDS = 0.2
_THREADS = 16

State = Literal["running", "starting", "stopping", "stopped", "done", "backoff", "failed", "unknown"]
_STATES: dict[str, State] = {
    "RUNNING": "running",
    "STARTING": "starting",
    "STOPPING": "stopping",
    "STOPPED": "stopped",
    "BACKOFF": "backoff",
    "FATAL": "failed",
}


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A service's process as the supervisor sees it.

    ``uptime`` is in seconds, 0 when it does not run; ``exit_status`` is the last exit's, None before one;
    ``restarts`` counts since the last deliberate start, None when the launcher has not noted any.
    ``done`` is a job that ended well.
    """

    state: State
    pid: int | None
    uptime: float
    exit_status: int | None
    restarts: int | None


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """Whether a service serves, what was seen, and how long the answer took in seconds."""

    ok: bool
    detail: str
    seconds: float


class Supervision:
    """The running services of one environment; works on what the last install put in its home."""

    def __init__(self, paths: EnvironmentPaths) -> None:
        self.paths = paths

    def _home(self) -> Home:
        try:
            return load_home(self.paths.home)
        except AgentError as error:
            name = self.paths.environment
            raise ToolError(
                "not-installed",
                f"environment {name} has never been installed here: {error}",
                hint=f"run `renecinfra up {name}`",
            ) from None

    def _manifest(self, home: Home, name: str) -> Manifest:
        try:
            return load_manifest(home.path, name)
        except AgentError as error:
            known = ", ".join(sorted(path.parent.name for path in home.path.glob("etc/*/service.json")))
            raise UsageError("no-such-service", str(error), hint=f"the services are {known}") from None

    def running(self) -> bool:
        """Whether the supervisor answers."""
        try:
            lifecycle.supervisor(self._home()).call("getState")
        except (ToolError, SupervisorDown, SupervisorFault):
            return False
        return True

    def processes(self) -> dict[str, ProcessState]:
        """Every service that the supervisor knows; none when it does not run (see :meth:`running`)."""
        try:
            home = self._home()
            infos = lifecycle.supervisor(home).call("getAllProcessInfo")
        except (ToolError, SupervisorDown):
            return {}
        return {info["name"]: _process_state(home, info) for info in infos}

    def health(self, name: str, timeout: float = 2.0) -> ServiceHealth:
        """Ask one service, and the supervisor whether it is the service that answers.

        Raises:
            ToolError: the environment was never installed.
            UsageError: there is no such service.
        """
        return self._health(name, timeout, self.processes())

    def health_all(self, names: Iterable[str], seconds: float = 5.0) -> dict[str, ServiceHealth]:
        """Ask many services side by side; who has not answered after ``seconds`` is not healthy."""
        known = self.processes()
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="health")
        try:
            asked: dict[str, Future[ServiceHealth]] = {
                name: pool.submit(self._health, name, min(2.0, seconds), known) for name in names
            }
            finished, _ = wait(asked.values(), timeout=seconds)
            late = ServiceHealth(False, f"not asked to the end within {seconds:g} s", seconds)
            return {name: one.result() if one in finished else late for name, one in asked.items()}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _health(self, name: str, timeout: float, known: dict[str, ProcessState]) -> ServiceHealth:
        home = self._home()
        manifest = self._manifest(home, name)
        process = known.get(name)
        if process is None:
            return ServiceHealth(False, "is unknown to the supervisor" if known else "no supervisor runs", 0)
        if manifest.kind == "job":
            return ServiceHealth(process.state == "done", f"is {process.state}", 0)
        serving = ("running",) if manifest.health["kind"] == "running" else ("running", "starting")
        if process.state not in serving:
            return ServiceHealth(False, f"is {process.state}", 0)
        begun = time.monotonic()
        answer = health.check(home, manifest, timeout)
        return ServiceHealth(answer.ok, answer.detail, time.monotonic() - begun)

    def restart(self, name: str) -> None:
        """Restart one service and wait until it is healthy.

        Raises:
            ToolError: it did not become healthy; the details are its log's last lines.
            UsageError: there is no such service.
        """
        home = self._home()
        self._manifest(home, name)
        try:
            lifecycle.start(home, name)
        except AgentError as error:
            message, *details = str(error).splitlines()
            raise ToolError(
                "restart-failed",
                message.removesuffix(":"),
                hint=f"see `renecinfra logs {self.paths.environment} {name}`",
                details=tuple(line.strip() for line in details),
            ) from None

    def stop(self, name: str) -> None:
        """Stop one service and all that it left.

        Raises:
            ToolError: something of it survived.
        """
        try:
            lifecycle.stop(self._home(), name)
        except AgentError as error:
            raise ToolError(
                "stop-failed",
                f"{name} cannot be stopped: {error}",
                hint=f"see `renecinfra logs {self.paths.environment} {name}`",
            ) from None

    def reload(self, name: str) -> None:
        """Have one service read its configuration again (SIGHUP to its main process).

        Raises:
            ToolError: it does not run.
            UsageError: there is no such service.
        """
        home = self._home()
        manifest = self._manifest(home, name)
        try:
            lifecycle.supervisor(home).call("signalProcess", name, "HUP")
        except (SupervisorDown, SupervisorFault) as error:
            raise ToolError(
                "reload-failed",
                f"{name} cannot be told to reload: {error}",
                hint=f"run `renecinfra restart {self.paths.environment} {name}`",
            ) from None
        lifecycle.note_loaded(home, manifest)

    def down(self) -> None:
        """End everything of this environment, also what no state and no supervisor knows of.

        Raises:
            ToolError: something survived.
        """
        try:
            home = load_home(self.paths.home)
        except AgentError:
            return  # never installed, so nothing was ever started
        try:
            supervisord.down(home)
        except AgentError as error:
            raise ToolError(
                "services-still-running",
                str(error).splitlines()[0],
                hint="run the command again; end by pid what stays",
            ) from None

    def tail(self, name: str, lines: int = 20) -> list[str]:
        """The last lines of a service's log (of its last 64 KiB)."""
        home = self._home()
        if name != "supervisord":
            self._manifest(home, name)
        return logs.tail(home.log(name), lines)

    def follow(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Lines written from now on, as (service, line), without end; goes on in the new file on rotation."""
        home = self._home()
        return _follow([_Follower(name, home.log(name)) for name in names])


def _follow(followers: list[_Follower]) -> Iterator[tuple[str, str]]:
    while True:
        found = [(one.name, line) for one in followers for line in one.lines()]
        yield from found
        if not found:
            time.sleep(_FOLLOW_SECONDS)


def _process_state(home: Home, info: dict[str, Any]) -> ProcessState:
    ended = bool(info["stop"])
    status = info["exitstatus"] if ended else None
    state = _STATES.get(info["statename"], "unknown")
    if info["statename"] == "EXITED":
        state = "done" if status == 0 else "failed"
    record = processes.read_record(processes.record_path(home.run, info["name"]))
    return ProcessState(
        state=state,
        pid=info["pid"] or None,
        uptime=max(0.0, info["now"] - info["start"]) if info["pid"] else 0.0,
        exit_status=status,
        restarts=record.starts - 1 if record else None,
    )


class _Follower:
    """One log file, from its present end on; a file that does not exist yet, from its beginning."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self._rest = b""
        self._descriptor = self._open()
        if self._descriptor is not None:
            os.lseek(self._descriptor, 0, os.SEEK_END)

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _open(self) -> int | None:
        # The service user owns the directory: do not follow what it may have linked there.
        try:
            return os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None

    def lines(self) -> Iterator[str]:
        """What has been written since the last call, in whole lines."""
        if self._descriptor is None:
            self._descriptor = self._open()
            if self._descriptor is None:
                return
        replaced = self._replaced()  # asked first, so that nothing written before the rotation is missed
        while part := os.read(self._descriptor, 65536):
            *whole, self._rest = (self._rest + part).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
        if replaced:
            os.close(self._descriptor)
            self._descriptor = None

    def _replaced(self) -> bool:
        assert self._descriptor is not None
        mine = os.fstat(self._descriptor)
        try:
            now = self.path.lstat()
        except OSError:
            return False
        if now.st_ino == mine.st_ino and mine.st_size < os.lseek(self._descriptor, 0, os.SEEK_CUR):
            return True  # truncated in place
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino)
