"""A new version of somebody's own application, process by process, under load; and the way back by itself."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
import yaml

from tests.e2e.conftest import Cli

pytestmark = pytest.mark.e2e
SOURCE = Path(__file__).with_name("application.py")


@pytest.fixture
def versions(fresh: Cli) -> Iterator[dict[str, Path]]:
    """Three versions: two that are fine, and one that fails under load, though not its health check."""
    base = Path("/tmp") / f"renecinfra-versions-{fresh.port_base}"
    text = SOURCE.read_text()
    failing = text.replace(
        "self.send_response(200)", "self.send_response(200 if self.path == '/health' else 500)"
    )
    assert failing != text
    made = {}
    try:
        for name, content in (("one", text), ("two", text), ("failing", failing)):
            made[name] = base / name
            made[name].mkdir(parents=True, mode=0o755)
            (made[name] / "application.py").write_text(content)
        yield made
    finally:
        shutil.rmtree(base)


def name_commands(cli: Cli, directory: Path) -> None:
    def run(*words: str) -> dict[str, object]:
        return {"command": [sys.executable, "application.py", *words], "directory": str(directory)}

    path = cli.workspace / "environments" / f"{cli.environment}.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["harvest"] = {"first_run": False}
    profile["workloads"] = {
        "api": {**run("api", "{port}"), "health_path": "/health"},
        "worker": {"enabled": False},
        "beat": {"enabled": False},
    }
    path.write_text(yaml.safe_dump(profile))


@contextmanager
def clients(cli: Cli) -> Iterator[list[tuple[int, str]]]:
    """Somebody who asks all the time: the status and the directory of each answer."""
    answers: list[tuple[int, str]] = []
    ended = threading.Event()

    def ask() -> None:
        url = f"https://localhost:{cli.port_base + 3}/api/anything"
        with urllib3.PoolManager(ca_certs=str(cli.state / "tls" / "ca.crt"), retries=False) as pool:
            while not ended.wait(0.02):
                try:
                    answer = pool.request("GET", url, timeout=10)
                    answers.append((answer.status, json.loads(answer.data).get("directory", "")))
                except (urllib3.exceptions.HTTPError, ValueError) as error:
                    answers.append((0, str(error)))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join(30)


def test_a_version_comes_and_goes_without_a_lost_request(fresh: Cli, versions: dict[str, Path]) -> None:
    name_commands(fresh, versions["one"])
    fresh.ok("up", fresh.environment, "--yes")
    with clients(fresh) as answers:
        out = fresh.ok(
            "deploy", fresh.environment, f"api={versions['two']}", "--bake", "3s", "--yes", "--json"
        )
        assert json.loads(out)["images"]["api"]["after"] == str(versions["two"])
    assert {status for status, _ in answers} == {200}
    assert {directory for _, directory in answers} == {str(versions["one"]), str(versions["two"])}
    assert fresh.get("/api/anything").json()["directory"] == str(versions["two"])

    out = fresh.ok("up", fresh.environment, "--yes", "--json")
    assert json.loads(out)["changed"] is False, "what was deployed stays"

    with clients(fresh) as answers:
        done = fresh.run(
            "deploy", fresh.environment, f"api={versions['failing']}", "--bake", "30s", "--yes", "--json"
        )
    assert done.returncode == 7, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["id"] == "slo-breached"
    assert error["hint"].startswith("the version before serves again")
    assert 0 not in {status for status, _ in answers}, "nobody was left without an answer"
    assert fresh.get("/api/anything").status == 200
    assert fresh.get("/api/anything").json()["directory"] == str(versions["two"])

    with clients(fresh) as answers:
        fresh.ok("rollback", fresh.environment, "--yes")
    assert {status for status, _ in answers} == {200}
    assert fresh.get("/api/anything").json()["directory"] == str(versions["one"])
