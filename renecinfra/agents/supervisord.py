"""Start and stop an environment's supervisord, with everything that it supervises."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

from renecinfra.agents import processes
from renecinfra.agents.home import AgentError, Home, Manifest, manifests
from renecinfra.agents.lifecycle import (
    LOCK_EXTRA_SECONDS,
    SOCKET,
    STOP_EXTRA_SECONDS,
    ask_to_stop,
    end,
    end_service,
    leftovers,
    locked,
    polls,
    supervisor,
    with_log,
)
from renecinfra.agents.rpc import Supervisor, SupervisorDown, SupervisorFault

# In this order layers start; they stop in the other.
LAYERS = ("secrets", "foundation", "replication", "database", "migration", "workload", "edge")
_UP_SECONDS = 15.0
# What a supervisord that does not answer gets to obey SIGTERM, before SIGKILL.
_FROZEN_SECONDS = 2.0


def up(home: Home) -> bool:
    """Have a supervisord of the installed configuration; whether one had to be started.

    Raises:
        AgentError: it does not start, or what an earlier one left cannot be ended.
    """
    with locked(home, "supervisor", _UP_SECONDS + LOCK_EXTRA_SECONDS):
        if _identification(home) == home.identifier:
            return False
        _end_everything(home)
        pid = _spawn(home)
        deadline = time.monotonic() + _UP_SECONDS
        for _ in polls(deadline):
            if _identification(home) == home.identifier:
                return True
            if processes.read(pid) is None:
                break
        raise AgentError(with_log("supervisord did not start", home, "supervisord"))


def _identification(home: Home) -> str | None:
    with contextlib.suppress(SupervisorDown, SupervisorFault):
        return str(Supervisor(home.run / SOCKET, timeout=2.0).call("getIdentification"))
    return None


def _spawn(home: Home) -> int:
    """supervisord as the service user in a session of its own, with no descriptor of ours."""
    import subprocess

    log = home.log("supervisord")
    # The shell opens the log after the switch of user: root must not open files in a directory of another's.
    script = 'umask 077; log=$1; shift; exec "$@" >>"$log" 2>&1'
    daemon = home.path / "lib" / "renecinfra" / "agents" / "daemon.py"
    command = [home.python, "-I", str(daemon), "-n", "-c", f"{home.path}/etc/supervisord.conf"]
    switch: dict[str, Any] = {}
    if os.geteuid() == 0:
        switch = {"user": home.uid, "group": home.gid, "extra_groups": []}
    process = subprocess.Popen(  # noqa: S603 - a fixed argv
        ["/bin/sh", "-c", script, "sh", str(log), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
        cwd="/",
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": "/",
            processes.MARKER: f"{home.path}/supervisor",
        },
        **switch,
    )
    process.returncode = 0  # it outlives us: no warning that it still runs
    return process.pid


def down(home: Home) -> None:
    """Stop every service, the last layer first, then the supervisor, and see that nothing is left.

    Raises:
        AgentError: something survived SIGKILL.
    """
    with locked(home, "supervisor", _UP_SECONDS + LOCK_EXTRA_SECONDS):
        _end_everything(home)


def _end_everything(home: Home) -> None:
    """Also without a supervisord that answers: a killed one's services live on."""
    if _identification(home) is None:
        # Gone, or frozen: then out of the way, so that the stops below do not wait for its answers.
        end(home, "supervisor", signal.SIGTERM, _FROZEN_SECONDS)
        (home.run / SOCKET).unlink(missing_ok=True)
    installed = manifests(home.path)
    for layer in reversed(LAYERS):
        _stop_all(home, [manifest for manifest in installed if manifest.layer == layer])
    with contextlib.suppress(SupervisorDown, SupervisorFault):
        supervisor(home).call("shutdown")
        for _ in polls(time.monotonic() + STOP_EXTRA_SECONDS):
            if not leftovers(home, "supervisor"):
                break
    end(home, None, signal.SIGTERM, STOP_EXTRA_SECONDS)
    (home.run / SOCKET).unlink(missing_ok=True)


def _stop_all(home: Home, layer: list[Manifest]) -> None:
    """Ask all of a layer to stop, then wait for each."""
    with contextlib.suppress(SupervisorDown):
        for manifest in layer:
            ask_to_stop(supervisor(home), manifest.name)
    for manifest in layer:
        with locked(home, manifest.name, manifest.stop_seconds + LOCK_EXTRA_SECONDS):
            end_service(home, manifest)
