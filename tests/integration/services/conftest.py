"""An installed environment of tiny services, under a real supervisord."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from renecinfra.agents import lifecycle, processes
from renecinfra.agents.home import load_home
from renecinfra.platforms.local.host import Host
from renecinfra.services.definition import HealthCheck, Layer, Service
from renecinfra.services.home import Installed, install
from renecinfra.services.manifest import service_bundle
from renecinfra.services.supervision import Supervision
from renecinfra.workspace import EnvironmentPaths, ServiceUser


def _reachable_by_others(path: Path) -> bool:
    return all(directory.stat().st_mode & 0o001 for directory in path.absolute().parents)


def _service_user() -> ServiceUser:
    """Root's services run as nobody, where nobody can reach the interpreter."""
    me = pwd.getpwuid(os.geteuid())
    python = Path(sys.executable)
    if me.pw_uid == 0 and _reachable_by_others(python) and _reachable_by_others(python.resolve()):
        other = pwd.getpwnam("nobody")
        return ServiceUser(other.pw_name, other.pw_uid, other.pw_gid, switched=True)
    return ServiceUser(me.pw_name, me.pw_uid, me.pw_gid, switched=False)


class Environment:
    """One environment below a directory with a blank and a percent sign in its name."""

    def __init__(self, root: Path) -> None:
        user = _service_user()
        self.paths = EnvironmentPaths("test", root / ".renecinfra" / "test", root / "home of 100%")
        self.paths.state.mkdir(parents=True)
        self.host = Host(self.paths, user, sys.executable, {}, 2, 2**30, root)
        self.supervision = Supervision(self.paths)

    def install(self, services: Sequence[Service], secrets: Mapping[str, str] | None = None) -> Installed:
        return install(service_bundle(services, self.host), secrets or {}, self.host)

    @property
    def control_argv(self) -> list[str]:
        control = self.paths.lib / "renecinfra" / "agents" / "control.py"
        return [sys.executable, "-I", "-S", str(control), "--home", str(self.paths.home)]

    def control(self, *arguments: str, ok: bool = True) -> str:
        """Run the control command as Terraform does; its stderr."""
        done = subprocess.run(
            [*self.control_argv, *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
            env={},
        )
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done.stderr

    def pid(self, name: str) -> int:
        pid = self.supervision.processes()[name].pid
        assert pid is not None
        return pid

    def live(self, name: str | None = None) -> list[processes.Process]:
        return lifecycle.leftovers(load_home(self.paths.home), name)

    def until(self, holds: Callable[[], object], seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "did not come to hold"
            time.sleep(0.02)


@pytest.fixture
def environment() -> Iterator[Environment]:
    # Not tmp_path: that is 0700 root's, where a service of another user cannot be.
    root = Path(tempfile.mkdtemp(prefix="renec-e-"))
    if os.geteuid() == 0:
        root.chmod(0o711)
    made = Environment(root)
    try:
        yield made
    finally:
        if (made.paths.etc / "environment.json").exists():
            made.control("down")
            assert made.live() == []
        shutil.rmtree(root)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def web(name: str = "web", layer: Layer = Layer.FOUNDATION, *, start_seconds: int = 20) -> Service:
    """Python's file server: healthy by a real request."""
    port = free_port()
    return Service(
        name,
        layer,
        (sys.executable, "-I", "-S", "-m", "http.server", str(port), "--bind", "127.0.0.1"),
        HealthCheck("http", port),
        port=port,
        stop_seconds=3,
        start_seconds=start_seconds,
    )


def shell(
    name: str, script: str, *, kind: str = "process", start_seconds: int = 20, **more: object
) -> Service:
    """A script that is running, or a job."""
    return Service(
        name,
        Layer.FOUNDATION,
        ("/bin/sh", "-c", script),
        HealthCheck("running"),
        kind=kind,  # type: ignore[arg-type]
        stop_seconds=2,
        start_seconds=start_seconds,
        **more,  # type: ignore[arg-type]
    )
