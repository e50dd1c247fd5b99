"""Start and stop services. What ``control.py`` and the CLI do, as functions.

Each service's work is under a lock of its own (``locks/`` belongs to the caller), because a Terraform that
is interrupted leaves its provisioner's children running: the next start waits for the one before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from renecinfra.agents import health, logs, processes
from renecinfra.agents.home import AgentError, Home, Manifest, load_manifest
from renecinfra.agents.rpc import (
    ALREADY_ADDED,
    BAD_NAME,
    NOT_RUNNING,
    Supervisor,
    SupervisorDown,
    SupervisorFault,
)

SOCKET = "supervisor.sock"
# How often a service may exit before it is healthy: once may be bad luck, twice is its configuration.
_EXITS = 2
# Seconds between two looks: a part of the time waited so far, so that what is quick costs little more.
_FIRST_POLL, _LAST_POLL, _POLL_PART = 0.02, 0.25, 0.12
_CHECK_SECONDS = 2.0
LOCK_EXTRA_SECONDS = 30.0
STOP_EXTRA_SECONDS = 10.0
_TAIL_LINES = 20


class StartError(AgentError):
    """A service did not become healthy; the message ends with its log's last lines."""


def supervisor(home: Home) -> Supervisor:
    """The environment's supervisord, running or not."""
    return Supervisor(home.run / SOCKET)


@contextlib.contextmanager
def locked(home: Home, name: str, seconds: float) -> Iterator[None]:
    """Hold the lock of one service.

    Raises:
        AgentError: someone else has held it for ``seconds``.
    """
    path = home.path / "locks" / f"{name}.lock"
    deadline = time.monotonic() + seconds
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AgentError(
                        f"another start or stop of {name} is under way: {path} is locked"
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def leftovers(home: Home, service: str | None = None) -> list[processes.Process]:
    """Live processes of a service, or of the whole environment."""
    return processes.belonging(home.path, home.run, home.uid, service)


def end(home: Home, service: str | None, first: signal.Signals, grace: float) -> None:
    """End what is left of a service, or of the whole environment.

    Raises:
        AgentError: something survived SIGKILL.
    """
    left = processes.end(lambda: leftovers(home, service), first, grace)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise AgentError(f"cannot end processes of {service or 'the environment'}: pid {pids}")


def start(home: Home, name: str) -> None:
    """Start a service as it is installed now and wait until it is healthy; run a job to its end.

    Whatever runs of it is stopped first: start is called to create or replace, and Terraform does not stop
    what it holds for tainted.

    Raises:
        AgentError: there is no such service, or no supervisord.
        StartError: it did not become healthy in time, or the job failed.
    """
    manifest = load_manifest(home.path, name)
    patience = manifest.start_seconds + manifest.stop_seconds + LOCK_EXTRA_SECONDS
    with locked(home, name, patience):
        end_service(home, manifest)
        server = supervisor(home)
        try:
            _load_group(server, name)
            note_loaded(home, manifest)
            server.call("startProcess", name, False)
        except SupervisorDown as error:
            raise AgentError(f"{error}: start it with `up`") from None
        except SupervisorFault as error:
            raise StartError(with_log(f"supervisord cannot start {name}: {error}", home, name)) from None
        if manifest.kind == "job":
            _wait_for_job(home, manifest, server)
        else:
            _wait_for_health(home, manifest, server)


def stop(home: Home, name: str) -> None:
    """Stop a service and all it left, whether or not supervisord lives; no error if it does not run.

    Raises:
        AgentError: something survived SIGKILL.
    """
    manifest = _manifest_or_default(home, name)
    with locked(home, name, manifest.start_seconds + manifest.stop_seconds + LOCK_EXTRA_SECONDS):
        end_service(home, manifest)
        if not (home.path / "etc" / name).exists():
            with contextlib.suppress(SupervisorDown, SupervisorFault):
                supervisor(home).call("removeProcessGroup", name)


def _manifest_or_default(home: Home, name: str) -> Manifest:
    """The manifest; the usual values for a service that the profile no longer has, whose files are gone."""
    with contextlib.suppress(AgentError):
        return load_manifest(home.path, name)
    return Manifest(name, "", "process", [], "/", {}, [], {"kind": "running"}, "", "TERM", 10, 30)


def end_service(home: Home, manifest: Manifest) -> None:
    """Stop a service whose lock is held; see :func:`stop`."""
    server = supervisor(home)
    with contextlib.suppress(SupervisorDown):
        ask_to_stop(server, manifest.name)
        for _ in polls(time.monotonic() + manifest.stop_seconds + STOP_EXTRA_SECONDS):
            if not (_info(server, manifest.name) or {}).get("pid"):
                break
    first = signal.Signals[f"SIG{manifest.stop_signal}"]
    end(home, manifest.name, first, manifest.stop_seconds)
    processes.record_path(home.run, manifest.name).unlink(missing_ok=True)


def note_loaded(home: Home, manifest: Manifest) -> None:
    """Remember which version of its reloadable files the service is about to read.

    So that an interrupted run between installing and reloading is made good by the next one.
    """
    loaded_path(home, manifest.name).write_text(manifest.reload_digest, encoding="ascii")


def loaded_path(home: Home, name: str) -> Path:
    """Where :func:`note_loaded` notes it; in a directory that only the caller may write."""
    return home.path / "locks" / f"{name}.loaded"


def ask_to_stop(server: Supervisor, name: str) -> None:
    """Have supervisord begin to stop a service; no error if it does not run."""
    try:
        server.call("stopProcess", name, False)
    except SupervisorFault as fault:
        if fault.code not in (BAD_NAME, NOT_RUNNING):
            raise AgentError(f"supervisord cannot stop {name}: {fault}") from None


def _load_group(server: Supervisor, name: str) -> None:
    """Have supervisord know the service as it is configured now; the others stay as they are."""
    ((_, changed, _),) = server.call("reloadConfig")
    if name in changed:
        server.call("removeProcessGroup", name)
    try:
        server.call("addProcessGroup", name)
    except SupervisorFault as fault:
        if fault.code != ALREADY_ADDED:
            raise


def _info(server: Supervisor, name: str) -> dict[str, Any] | None:
    try:
        info: dict[str, Any] = server.call("getProcessInfo", name)
    except SupervisorFault as fault:
        if fault.code == BAD_NAME:
            return None
        raise AgentError(f"supervisord does not tell of {name}: {fault}") from None
    return info


def _wait_for_health(home: Home, manifest: Manifest, server: Supervisor) -> None:
    deadline = time.monotonic() + manifest.start_seconds
    seen = "not asked yet"
    starts: set[int] = set()
    for left in polls(deadline):
        info = _process(home, manifest, server)
        state, pid = info["statename"], info["pid"]
        starts.add(info["start"])
        if state == "FATAL" or (state in ("BACKOFF", "EXITED") and len(starts) >= _EXITS):
            raise StartError(with_log(f"{manifest.name} ends as soon as it is started", home, manifest.name))
        serving = ("RUNNING",) if manifest.health["kind"] == "running" else ("STARTING", "RUNNING")
        if state not in serving:
            seen = f"is {state}"
            continue
        answer = health.check(home, manifest, min(_CHECK_SECONDS, left))
        # Asked again: the answer may have been a stranger's, while the service itself failed to get the port.
        if answer.ok and _process(home, manifest, server)["pid"] == pid:
            return
        seen = answer.detail
    message = f"{manifest.name} is not healthy after {manifest.start_seconds:g} s: {seen}"
    raise StartError(with_log(message, home, manifest.name))


def _wait_for_job(home: Home, manifest: Manifest, server: Supervisor) -> None:
    for _ in polls(time.monotonic() + manifest.start_seconds):
        info = _process(home, manifest, server)
        if info["statename"] in ("EXITED", "FATAL", "BACKOFF"):
            if info["statename"] == "EXITED" and info["exitstatus"] == 0:
                return
            message = f"{manifest.name} failed with exit status {info['exitstatus']}"
            raise StartError(with_log(message, home, manifest.name))
    end_service(home, manifest)
    message = f"{manifest.name} did not end within {manifest.start_seconds:g} s, and was stopped"
    raise StartError(with_log(message, home, manifest.name))


def _process(home: Home, manifest: Manifest, server: Supervisor) -> dict[str, Any]:
    try:
        info = _info(server, manifest.name)
    except SupervisorDown as error:
        raise StartError(with_log(f"{manifest.name}: {error}", home, "supervisord")) from None
    if info is None:
        raise StartError(f"supervisord has forgotten {manifest.name}")
    return info


def polls(deadline: float) -> Iterator[float]:
    """The seconds left, again and again: at once, then after pauses that grow from 20 to 250 ms."""
    begun = time.monotonic()
    while (left := deadline - time.monotonic()) > 0:
        yield left
        pause = min(max(_FIRST_POLL, _POLL_PART * (time.monotonic() - begun)), _LAST_POLL)
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))


def with_log(message: str, home: Home, service: str) -> str:
    """A message with the last lines of a log below it."""
    path = home.log(service)
    lines = logs.tail(path, _TAIL_LINES)
    if not lines:
        return f"{message}\n  its log is empty: {path}"
    return "\n  ".join([message, f"the last lines of {path}:", *lines])
