"""A profile's own commands run in their directory, with their environment and nothing of the caller's."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Cli

pytestmark = pytest.mark.e2e


def test_an_application_is_run_as_it_is(fresh: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Path("/tmp") / f"renecinfra-application-{fresh.port_base}"
    directory.mkdir(mode=0o755)
    try:
        directory.chmod(0o755)
        shutil.copy(Path(__file__).with_name("application.py"), directory / "application.py")
        (directory / "application.py").chmod(0o644)
        _name_commands(fresh, directory)
        monkeypatch.setenv("ONLY_THE_CALLERS", "x")
        fresh.ok("up", fresh.environment, "--yes")
        status = fresh.status()
        assert not status["problems"]
        assert [service for service in status["services"] if not service["ok"]] == []
        seen = fresh.get("/api/anything").json()
        assert seen["directory"] == str(directory)
        assert {"DATABASE_URL", "REDIS_URL", "RENEC_API_KEY", "GREETING", "API_PORT"} <= set(
            seen["environment"]
        )
        assert "ONLY_THE_CALLERS" not in seen["environment"]
        assert "migrations" not in {service["name"] for service in fresh.status()["services"]}
    finally:
        shutil.rmtree(directory)


def _name_commands(cli: Cli, directory: Path) -> None:
    def run(*words: str) -> dict[str, object]:
        return {"command": [sys.executable, "application.py", *words], "directory": str(directory)}

    path = cli.workspace / "environments" / f"{cli.environment}.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["harvest"] = {"first_run": False}
    profile["workloads"] = {
        "api": {**run("api", "{port}"), "health_path": "/health", "environment": {"GREETING": "hola"}},
        "worker": {**run("worker"), "concurrency": 1},
        "beat": run("beat"),
    }
    path.write_text(yaml.safe_dump(profile))
