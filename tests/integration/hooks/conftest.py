"""Real Prometheus and Alertmanager with the rendered configuration, and stand-ins for what they scrape."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from renecinfra.hooks import monitoring as hook
from renecinfra.hooks.protocol import HookContext
from renecinfra.platforms.local import monitoring
from renecinfra.platforms.local.host import Host
from renecinfra.platforms.local.scraping import scrape_jobs
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import PORT_OFFSETS
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.services.supervision import ProcessState
from renecinfra.workspace import EnvironmentPaths, ServiceUser

ROOT = Path(__file__).parents[3]
SIZING = Sizing(1, 1, 10, 1, 2, 20, 40, 100)
PROGRAMS = ("prometheus", "prometheus-alertmanager")
EXPORTERS = ("node", "blackbox", "nginx", "postgres", "redis")


class Metrics(BaseHTTPRequestHandler):
    """What every exporter would say: something that Prometheus takes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"probe_success 1\n")

    def log_message(self, *_: object) -> None:
        pass


class Listeners:
    """Stand-in exporters by port; each can be stopped."""

    def __init__(self) -> None:
        self._servers: dict[int, ThreadingHTTPServer] = {}

    def start(self, port: int) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", port), Metrics)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self._servers[port] = server

    def stop(self, port: int) -> None:
        server = self._servers.pop(port)
        server.shutdown()
        server.server_close()

    def stop_all(self) -> None:
        for port in list(self._servers):
            self.stop(port)


@dataclass
class Processes:
    """The part of Supervision that the hook uses, over children of the test."""

    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    reloaded: list[str] = field(default_factory=list)

    def processes(self) -> dict[str, ProcessState]:
        now = time.time()
        return {
            name: ProcessState(
                "running", self.children[name].pid if name in self.children else None, now - at, None, 0
            )
            for name, at in self.started.items()
        }

    def reload(self, name: str) -> None:
        self.reloaded.append(name)
        self.children[name].send_signal(signal.SIGHUP)

    def start(self, name: str, command: tuple[str, ...], log: Path) -> None:
        with log.open("ab") as output:
            self.children[name] = subprocess.Popen(command, stdout=output, stderr=output)
        self.started[name] = time.time()

    def stop(self, name: str) -> None:
        child = self.children.pop(name)
        child.terminate()
        child.wait(timeout=10)


@dataclass
class Watched:
    """A running monitoring stack."""

    context: HookContext
    supervision: Processes
    listeners: Listeners
    renderer: Renderer

    def install(self, profile: Profile) -> None:
        for service in monitoring.services(profile, self.context.host, self.renderer, SIZING):
            for name, file in service.reload_files.items():
                path = self.context.host.paths.etc / service.name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists() or path.read_text() != file.text:
                    path.write_text(file.text)

    def start(self, name: str) -> None:
        profile, host = self.context.profile, self.context.host
        found = {s.name: s for s in monitoring.services(profile, host, self.renderer, SIZING)}
        (host.paths.data / name).mkdir(parents=True, exist_ok=True)
        self.supervision.start(name, found[name].command, host.paths.home / f"{name}.log")
        url = f"http://127.0.0.1:{found[name].port}/-/ready"
        for _ in range(200):
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError((host.paths.home / f"{name}.log").read_text())


def free_base() -> int:
    """A port base whose ports are all free now."""
    for base in range(20000 + os.getpid() % 200 * 100, 60000, 100):
        try:
            for offset in PORT_OFFSETS.values():
                with socket.create_server(("127.0.0.1", base + offset)):
                    pass
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


def make_profile(base: int, **monitoring_values: object) -> Profile:
    return Profile.model_validate(
        {
            "environment": "watched",
            "backups": {"enabled": False},
            "platform": {"kind": "local", "port_base": base},
            "database": {"replicas": 0},
            "workloads": {"api": {"replicas": 1}},
            "monitoring": {
                "scrape_interval": "1s",
                "alert_for": "2s",
                "group_wait": "1s",
                **monitoring_values,
            },
            "hooks": {"monitoring": {"timeout": "20s"}},
        }
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One stack for all tests: Prometheus takes 5 s to find its targets after a start."""
    tmp_path = tmp_path_factory.mktemp("watched")
    profile = make_profile(free_base())
    host = Host(
        paths=EnvironmentPaths("watched", tmp_path / "state", tmp_path / "home"),
        user=ServiceUser("me", os.geteuid(), os.getegid(), switched=False),
        python="python3",
        binaries={
            **{name: shutil.which(name) or name for name in PROGRAMS},
            **{f"prometheus-{name}-exporter": "unused" for name in EXPORTERS},
        },
        cores=2,
        memory=4 << 30,
        workspace=ROOT,
    )
    supervision, listeners = Processes(), Listeners()
    context = HookContext(profile, host, SIZING, {}, lambda _line: None)
    made = Watched(context, supervision, listeners, Renderer(ROOT / "templates"))
    own = {profile.local.port(name) for name in ("prometheus", "alertmanager")}
    ports = {int(t.address.rpartition(":")[2]) for job in scrape_jobs(profile) for t in job.targets} - own
    try:
        for port in sorted(ports):
            listeners.start(port)
        made.install(profile)
        made.start("alertmanager")
        made.start("prometheus")
        yield made
    finally:
        for name in list(supervision.children):
            supervision.stop(name)
        listeners.stop_all()


@pytest.fixture
def watched(stack: Watched, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """The stack as it should be; what a test breaks is mended after it."""
    monkeypatch.setattr(hook, "Supervision", lambda _paths: stack.supervision)
    yield stack
    stack.install(stack.context.profile)
    hook.MonitoringHook().run(stack.context)
    stack.supervision.reloaded.clear()
