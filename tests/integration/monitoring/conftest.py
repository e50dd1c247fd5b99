"""Rendered monitoring configuration, and real servers with their exporters as they are defined."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from renecinfra import tls
from renecinfra.agents.home import read_env_file
from renecinfra.platforms.local import access, databases, edge, monitoring, stores
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import PORT_OFFSETS
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.services import binaries
from renecinfra.services.definition import Service
from renecinfra.workspace import EnvironmentPaths, ServiceUser

ROOT = Path(__file__).parents[3]
LOCAL = {
    "environment": "local",
    "platform": {"kind": "local"},
    "monitoring": {
        "scrape_interval": "2s",
        "alert_for": "10s",
        "group_wait": "1s",
        "receivers": {"people": {"kind": "log"}},
    },
}
PROD = {
    "environment": "prod",
    "platform": {
        "kind": "aws",
        "account": "123456789012",
        "region": "us-east-1",
        "backup_region": "us-west-2",
    },
    "database": {"replicas": 2},
    "cache": {"database": 3},
    "workloads": {"worker": {"replicas": 3, "concurrency": 4}},
    "monitoring": {"slo": {"availability": 0.999, "latency_p95": "50ms", "harvest_max_age": "25h"}},
}
SIZING = Sizing(2, 1, 10, 1, 2, 20, 40, 100)
PROD_SIZING = Sizing(3, 1, 10, 3, 4, 40, 60, 200)
PROGRAMS = (
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-node-exporter",
    "prometheus-blackbox-exporter",
    "prometheus-nginx-exporter",
    "prometheus-postgres-exporter",
    "prometheus-redis-exporter",
)


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    return Renderer(ROOT / "templates")


def make_host(directory: Path) -> Host:
    """A host whose home is below ``directory``; binaries are those of PATH, or their plain names."""
    return Host(
        paths=EnvironmentPaths("local", directory / "state", directory / "home"),
        user=ServiceUser("me", os.geteuid(), os.getegid(), switched=False),
        python="/usr/bin/python3",
        binaries={name: shutil.which(name) or name for name in PROGRAMS},
        cores=2,
        memory=4 << 30,
        workspace=ROOT,
    )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


@pytest.fixture
def local() -> Profile:
    return Profile.model_validate(LOCAL)


PARTS = (databases, stores, edge, monitoring)
# What a URL, an environment file, a conninfo string or a shell might trip over.
PASSWORD = "p:/@ '\"\\#%;$&?="


@dataclass
class Stack:
    """Started services by name, with the files that the definitions give them."""

    profile: Profile
    host: Host
    secrets: ResolvedSecrets
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def service(self, name: str) -> Service:
        renderer = Renderer(ROOT / "templates")
        found = [s for p in PARTS for s in p.services(self.profile, self.host, renderer, SIZING)]
        return next(s for s in found if s.name == name)

    def start(self, name: str) -> None:
        service, paths, user = self.service(name), self.host.paths, self.host.user
        etc = paths.etc / name
        for path, file in {**service.files, **service.reload_files}.items():
            (etc / path).parent.mkdir(parents=True, exist_ok=True)
            (etc / path).write_text(file.text)
        etc.mkdir(exist_ok=True)
        for part in PARTS:
            for path, text in part.secret_files(self.profile, self.host, self.secrets).items():
                if path.startswith(f"{name}/"):
                    (paths.etc / path).write_text(text)
                    (paths.etc / path).chmod(0o600)
                    os.chown(paths.etc / path, user.uid, user.gid)
        (paths.data / name).mkdir(exist_ok=True)
        os.chown(paths.data / name, user.uid, user.gid)
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONPATH": str(ROOT),
            **service.environment,
        }
        for env_file in service.env_files:
            if user.switched:
                os.chown(etc / env_file, os.geteuid(), os.getegid())
            environment |= read_env_file(etc / env_file)
        with (paths.log / f"{name}.log").open("ab") as log:
            os.fchown(log.fileno(), user.uid, user.gid)  # nginx opens /dev/stdout again by its name
            self.children[name] = subprocess.Popen(
                service.command,
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **({"user": user.uid, "group": user.gid, "extra_groups": []} if user.switched else {}),
            )

    def stop(self, name: str) -> None:
        child = self.children.pop(name)
        child.send_signal(signal.Signals[f"SIG{self.service(name).stop_signal}"])
        child.wait(timeout=20)

    def log(self, name: str) -> str:
        return (self.host.paths.log / f"{name}.log").read_text()

    def metrics(self, exporter: str, path: str = "/metrics") -> dict[str, float]:
        """Metrics by name and labels as written; empty while nobody listens."""
        url = f"http://127.0.0.1:{self.service(exporter).port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except (urllib.error.URLError, ConnectionError):
            return {}
        return {k: float(v) for k, v in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}

    def wait(
        self, exporter: str, metric: str, value: float | None = None, seconds: float = 15
    ) -> dict[str, float]:
        found: dict[str, float] = {}

        def there() -> bool:
            found.clear()
            found.update(self.metrics(exporter))
            return metric in found if value is None else found.get(metric) == value

        eventually(there, seconds, lambda: f"{metric}: {found.get(metric)}\n{self.log(exporter)}")
        return found

    def sql(self, statement: str) -> None:
        dsn = access.database_dsn(self.profile, self.host, self.secrets, "primary", role="application")
        with psycopg.connect(**dsn, autocommit=True, connect_timeout=3) as connection:
            connection.execute(statement)


def eventually(condition: Callable[[], bool], seconds: float, say: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, say()
        time.sleep(0.05)


def ports() -> dict[str, int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORT_OFFSETS]
    found = dict(zip(PORT_OFFSETS, (s.getsockname()[1] for s in sockets), strict=True))
    for one in sockets:
        one.close()
    return found


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    profile = Profile.model_validate(
        {
            "environment": "test",
            "platform": {"kind": "local", "ports": ports()},
            "database": {"max_connections": 100, "shared_buffers": "16Mi"},
            "cache": {"database": 2},
        }
    )
    entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    user = ServiceUser(entry.pw_name, entry.pw_uid, entry.pw_gid, switched=os.geteuid() == 0)
    top = Path(tempfile.mkdtemp(prefix="renec-", dir="/tmp"))
    top.chmod(0o711)
    paths = EnvironmentPaths("test", top / "state", top / "home")
    for directory in (paths.tls, paths.etc):
        directory.mkdir(parents=True)
    for directory in (paths.data, paths.log, paths.run):
        directory.mkdir(mode=0o700)
        os.chown(directory, user.uid, user.gid)
    host = Host(paths, user, sys.executable, binaries.find(), cores=2, memory=1 << 32, workspace=top)
    references = {
        profile.database.password,
        profile.cache.password,
        access.REPLICATION_PASSWORD,
        access.POOLER_PASSWORD,
        access.MONITORING_PASSWORD,
        access.OPERATOR_PASSWORD,
    }
    tls.ensure(paths.tls, profile.edge.host)
    made = Stack(profile, host, {r: SecretVersion(Secret(PASSWORD), 1) for r in references})
    try:
        for name in ("postgresql-primary", "redis-broker"):
            made.start(name)
        eventually(lambda: _accepts(made), 20, lambda: made.log("postgresql-primary"))
        made.start("pgbouncer")
        yield made
    finally:
        for name in reversed(list(made.children)):
            made.stop(name)
        shutil.rmtree(top)


def _accepts(stack: Stack) -> bool:
    try:
        stack.sql("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
