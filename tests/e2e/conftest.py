"""A whole local environment for the tests, brought up by the command line as a user would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from tests.ports import free_port_base

ROOT = Path(__file__).parents[2]


@dataclass
class Cli:
    """Runs renecinfra in a workspace of its own."""

    workspace: Path
    environment: str
    port_base: int

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "renecinfra", *arguments],
            cwd=self.workspace,
            env=os.environ | {"RENECINFRA_WORKSPACE": str(self.workspace), "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ok(self, *arguments: str, timeout: float = 120) -> str:
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, f"{arguments} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def status(self) -> dict:
        return json.loads(self.run("status", self.environment, "--json").stdout)

    def wrong(self) -> list[object]:
        """Why status does not say ok; empty when it does."""
        seen = self.status()
        recovery = seen["recovery"] or {"findings": [], "problems": []}
        found = [
            *(service for service in seen["services"] if not service["ok"]),
            *seen["problems"],
            *(finding for finding in recovery["findings"] if not finding["ok"]),
            *recovery["problems"],
        ]
        assert seen["ok"] or found or recovery, seen
        return found or ([] if seen["ok"] else [recovery])

    def wait_until_ok(self, seconds: float = 30.0) -> None:
        """Fails with why, where status does not say ok in time."""
        deadline = time.monotonic() + seconds
        while wrong := self.wrong():
            assert time.monotonic() < deadline, wrong
            time.sleep(0.1)

    def service(self, name: str) -> dict:
        return next(service for service in self.status()["services"] if service["name"] == name)

    @property
    def state(self) -> Path:
        return self.workspace / ".renecinfra" / self.environment

    @property
    def home(self) -> Path:
        from renecinfra.workspace import Workspace

        return Workspace(self.workspace).paths(self.environment).home

    def get(self, path: str, timeout: float = 5) -> urllib3.BaseHTTPResponse:
        """A GET through the edge, trusting the environment's own CA alone."""
        with urllib3.PoolManager(ca_certs=str(self.state / "tls" / "ca.crt"), retries=False) as pool:
            return pool.request("GET", f"https://localhost:{self.port_base + 3}{path}", timeout=timeout)

    def marked(self) -> list[int]:
        """Pids of every live process of this environment."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z" and self._ours(entry):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def _ours(self, entry: Path) -> bool:
        """By the marker in its environment or its home in its arguments; some programs overwrite either."""
        marker, home = f"RENECINFRA_SERVICE={self.home}/".encode(), f"{self.home}/".encode()
        return marker in (entry / "environ").read_bytes() or home in (entry / "cmdline").read_bytes()


def make_workspace(directory: Path, name: str = "e2e") -> Cli:
    """A workspace with the project's templates and one environment on ports of its own."""
    shutil.copytree(ROOT / "environments", directory / "environments")
    for part in ("templates", "terraform"):
        shutil.copytree(ROOT / part, directory / part)
    base = free_port_base()
    (directory / "environments" / f"{name}.yaml").write_text(
        f"environment: {name}\nextends: local\nplatform:\n  port_base: {base}\n"
    )
    return Cli(directory, name, base)


@pytest.fixture(scope="session")
def new_workspace():
    """Makes workspaces: for tests that need an environment of their own for longer than one test."""
    return make_workspace


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """One environment that is up, shared by the tests that leave it up."""
    cli = make_workspace(tmp_path_factory.mktemp("workspace"))
    try:
        cli.ok("up", cli.environment, "--yes")
        yield cli
    finally:
        cli.ok("down", cli.environment, "--yes", "--delete-backups")
        assert cli.marked() == []


@pytest.fixture
def fresh(tmp_path):
    """A workspace whose environment is not up; taken down afterwards."""
    cli = make_workspace(tmp_path, "fresh")
    yield cli
    cli.ok("down", cli.environment, "--yes", "--delete-backups")
    assert cli.marked() == []
