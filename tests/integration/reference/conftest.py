"""A temporary PostgreSQL and Redis, and the reference workload's processes, on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
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
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

ROOT = Path(__file__).parents[3]
API_KEY = "a-key-for-tests-only"
SWITCH: dict[str, Any] = {}
if os.geteuid() == 0:  # PostgreSQL refuses root
    nobody = pwd.getpwnam("nobody")
    SWITCH = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_until(condition: Callable[[], Any], seconds: float = 20, what: str = "it") -> Any:
    """What ``condition`` gives once it is true; connection errors count as false."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, psycopg.OperationalError, redis.exceptions.RedisError):
            if found := condition():
                return found
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.02)


@dataclass
class Processes:
    """Processes that end with the test, and their logs."""

    directory: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, *command: str, environment: Mapping[str, str] | None = None, switch: bool = False
    ) -> subprocess.Popen[bytes]:
        base = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TZ": "UTC", "HOME": "/"}
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd="/",
                env={**base, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **(SWITCH if switch else {}),
            )
        self.running.append(process)
        return process

    def python(self, *arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        # -P: what is in the working directory is not imported, as on the platform.
        return self.start(
            sys.executable, "-P", "-m", *arguments, environment={"PYTHONPATH": str(ROOT), **environment}
        )

    def log(self) -> str:
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        for process in reversed(self.running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    these = Processes(tmp_path)
    yield these
    these.end()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A cluster's address without a database; its superuser ``renec`` is trusted."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.skip("PostgreSQL is not installed")
    top = Path(tempfile.mkdtemp(prefix="renec-pg-", dir="/tmp"))
    if SWITCH:
        os.chown(top, SWITCH["user"], SWITCH["group"])
    port, data = free_port(), top / "data"
    these = Processes(top)
    initdb = (
        found[-1] / "initdb",
        "-D",
        data,
        "-U",
        "renec",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "-N",
    )
    subprocess.run(initdb, check=True, cwd="/", stdout=subprocess.DEVNULL, **SWITCH)
    settings = (
        f"-cport={port}",
        "-clisten_addresses=127.0.0.1",
        "-cfsync=off",
        f"-cunix_socket_directories={top}",
    )
    these.start(str(found[-1] / "postgres"), "-D", str(data), *settings, switch=True)
    address = f"postgresql://renec@127.0.0.1:{port}"
    wait_until(lambda: psycopg.connect(f"{address}/postgres").close() is None, what="PostgreSQL")
    yield address
    these.end()
    shutil.rmtree(top)


@pytest.fixture
def database(postgresql: str) -> Iterator[str]:
    """An empty database's address."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"{postgresql}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class Redis:
    """A Redis that can be stopped and started."""

    processes: Processes
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = self.processes.start(
            "/usr/bin/redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""
        )
        wait_until(self.answers, what="Redis")

    def answers(self) -> bool:
        with redis.Redis.from_url(self.url) as connection:
            return bool(connection.ping())

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker(processes: Processes) -> Redis:
    if not Path("/usr/bin/redis-server").exists():
        pytest.skip("redis-server is not installed")
    server = Redis(processes, free_port())
    server.start()
    return server


@dataclass
class Workload:
    """The reference workload against its own backends."""

    processes: Processes
    database: str
    broker: Redis
    environment: dict[str, str]

    def migrate(self) -> None:
        job = self.processes.python("renecinfra.reference.migrate", environment=self.environment)
        assert job.wait(timeout=30) == 0, self.processes.log()

    def site(self, **options: object) -> str:
        """A fake site's address."""
        port = free_port()
        words = [
            word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        arguments = ("renecinfra.reference.site", "--port", str(port), *words)
        self.processes.python(*arguments, environment=self.environment)
        url = f"http://127.0.0.1:{port}"
        self.environment["RENEC_BASE_URL"] = url
        wait_until(lambda: get(f"{url}/robots.txt")[0] == 200, what="the fake site")
        return url

    def api(self) -> str:
        """An API's address, once it is alive."""
        port = free_port()
        arguments = ("renecinfra.reference.api:app", "--host", "127.0.0.1", "--port", str(port))
        self.processes.python("uvicorn", *arguments, environment=self.environment)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: get(f"{url}/health/live")[0] == 200, what="the api")
        return url

    def worker(self, name: str = "worker-1", **environment: str) -> subprocess.Popen[bytes]:
        arguments = ("-A", "renecinfra.reference.schedule", "worker", f"--hostname={name}@test")
        flags = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--concurrency=2")
        queues = ("--queues=harvest,monitoring", "--loglevel=INFO")
        return self.processes.python(
            "celery", *arguments, *flags, *queues, environment={**self.environment, **environment}
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def runs(self) -> list[str]:
        """The runs' statuses, oldest first."""
        return [row[0] for row in self.query("SELECT status FROM harvest_runs ORDER BY run_id")]


@pytest.fixture
def workload(processes: Processes, database: str, broker: Redis, tmp_path: Path) -> Workload:
    environment = {
        "DATABASE_URL": database,
        "REDIS_URL": broker.url,
        "RENEC_API_KEY": API_KEY,
        "DATABASE_POOL_SIZE": "5",
        "DOWNLOAD_DELAY": "0",
        "RENEC_BASE_URL": "http://127.0.0.1:9",
        "RENEC_METRICS_DIR": str(tmp_path / "metrics"),
    }
    made = Workload(processes, database, broker, environment)
    made.migrate()
    return made


def get(
    url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers (lower case) of an answer, whatever its status."""
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), {k.lower(): v for k, v in error.headers.items()}
