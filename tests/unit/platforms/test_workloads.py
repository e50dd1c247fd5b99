"""Which processes of the application a profile makes, with which commands, variables and secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from renecinfra.agents.home import read_env_file
from renecinfra.errors import ProfileError
from renecinfra.platforms.local import workloads
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.services.definition import Layer, Service
from renecinfra.workspace import EnvironmentPaths, ServiceUser

HOST = Host(
    paths=EnvironmentPaths("local", Path("/state"), Path("/home-of it")),
    user=ServiceUser("me", 1000, 1000, switched=False),
    python="/venv/bin/python",
    binaries={},
    cores=2,
    memory=4 << 30,
    workspace=Path("/workspace"),
)
SIZING = Sizing(2, 1, 7, 1, 3, 20, 40, 100)
COMMANDS = {
    "api": {"command": ["uvicorn", "src.api.main:app", "--port", "{port}"], "directory": "../harvester"},
    "worker": {"command": ["celery", "worker", "--queues={queues}", "-c", "{concurrency}", "{other}"]},
    "beat": {"command": ["celery", "beat", "--schedule={data}/beat"], "directory": "/srv/harvester"},
}


def profile(**sections: Any) -> Profile:
    fake = {"harvest": {"fake_site": {"enabled": True}}}
    return Profile.model_validate({"environment": "local", "platform": {"kind": "local"}, **fake, **sections})


def services(made: Profile, sizing: Sizing = SIZING) -> dict[str, Service]:
    return {one.name: one for one in workloads.services(made, HOST, Renderer(Path("/none")), sizing)}


def test_the_reference_workload_stands_in() -> None:
    found = services(profile())
    assert list(found) == ["site", "migrations", "api-1", "api-2", "worker-1", "beat"]
    assert found["site"].layer is Layer.FOUNDATION
    assert (found["migrations"].layer, found["migrations"].kind) == (Layer.MIGRATION, "job")
    assert found["api-2"].command == (
        "/venv/bin/python", "-P", "-m", "uvicorn", "renecinfra.reference.api:app", "--host=127.0.0.1",
        "--port=8461", "--no-access-log", "--no-server-header", "--timeout-graceful-shutdown=10",
    )  # fmt: skip
    assert (found["api-2"].health.path, found["api-2"].health.port, found["api-2"].port) == (
        "/health/ready",
        8461,
        8461,
    )
    worker = found["worker-1"]
    assert {"--hostname=worker-1@%h", "--concurrency=3", "--queues=harvest,monitoring"} < set(worker.command)
    assert (worker.health.path, worker.health.port, worker.stop_signal) == ("/metrics", 8480, "QUIT")
    assert "--schedule=/home-of it/data/beat/schedule" in found["beat"].command


def test_variables_are_those_that_the_application_reads() -> None:
    found = services(profile(harvest={"fake_site": {"enabled": True}, "download_delay": "20ms"}))
    api, worker = found["api-1"].environment, found["worker-1"].environment
    assert (api["DATABASE_POOL_SIZE"], api["API_PORT"], api["ENVIRONMENT"]) == ("7", "8460", "local")
    assert (worker["DOWNLOAD_DELAY"], worker["RENEC_BASE_URL"]) == ("0.02", "http://127.0.0.1:8458")
    assert (worker["PROMETHEUS_METRICS_PORT"], worker["RENEC_FIRST_HARVEST"]) == ("8480", "0")
    real = services(profile(harvest={"base_url": "https://renec.example"}))
    assert "site" not in real
    assert real["worker-1"].environment["RENEC_BASE_URL"] == "https://renec.example"


def test_several_processes_share_their_metrics() -> None:
    found = services(profile(), Sizing(1, 3, 7, 1, 3, 20, 40, 100))["api-1"]
    assert found.command[-1] == "--workers=3"
    assert found.environment["RENEC_METRICS_DIR"] == "/home-of it/data/api-1/metrics"


def test_a_profiles_commands_run_as_they_are_in_its_directory() -> None:
    found = services(profile(workloads=COMMANDS))
    assert "migrations" not in found  # of another application's schema nothing is known
    assert found["api-2"].command == ("uvicorn", "src.api.main:app", "--port", "8461")
    assert found["api-2"].directory == "/workspace/../harvester"
    assert found["api-2"].health.path == "/health"
    assert found["worker-1"].command[-4:] == ("--queues=harvest,monitoring", "-c", "3", "{other}")
    assert (found["worker-1"].directory, found["worker-1"].stop_signal) == ("/workspace", "TERM")
    assert found["worker-1"].health.kind == "running"
    assert found["beat"].command[-1] == "--schedule=/home-of it/data/beat/beat"
    assert found["beat"].directory == "/srv/harvester"
    migrated = services(
        profile(workloads={**COMMANDS, "migrations": {"command": ["alembic", "upgrade", "head"]}})
    )
    assert migrated["migrations"].command == ("alembic", "upgrade", "head")


def test_the_ui_finds_the_api_and_its_own_address() -> None:
    ui = {"enabled": True, "command": ["next", "start", "--port", "{port}"], "directory": "ui"}
    found = services(profile(workloads={"ui": ui}))["ui"]
    assert found.command[-1] == "8459"
    assert found.environment["API_URL"] == "http://127.0.0.1:8460"
    assert found.environment["NEXT_PUBLIC_APP_URL"] == "https://localhost:8443"
    assert found.secrets == ()


@pytest.mark.parametrize("own", ["api", "worker", "migrations"])
def test_the_reference_is_not_mixed_with_another_application(own: str) -> None:
    with pytest.raises(ProfileError) as caught:
        services(profile(workloads={own: {"command": ["x"]}}))
    assert caught.value.id == "workloads-mixed"
    assert f"workloads.{own}" in caught.value.message


def test_a_disabled_workload_makes_nothing() -> None:
    off = {name: {"enabled": False} for name in ("api", "worker", "beat", "migrations")}
    made = profile(workloads=off)
    assert list(services(made)) == ["site"]
    assert workloads.secret_files(made, HOST, _secrets(made)) == {}


def _secrets(made: Profile, value: str = "p:@ /\"é'\\#%") -> dict[str, SecretVersion]:
    references = (made.database.password, made.cache.password, made.workloads.api.key, "generated:token")
    return {name: SecretVersion(Secret(value), 1) for name in references}


def test_secrets_are_in_files_that_the_launcher_reads_and_nowhere_else(tmp_path: Path) -> None:
    made = profile(workloads={"api": {"secret_environment": {"TOKEN": "generated:token"}}})
    files = workloads.secret_files(made, HOST, _secrets(made))
    found = services(made)
    assert set(files) == {f"{name}/secret.env" for name in found if name != "site"}
    for name, service in found.items():
        assert (service.env_files == ("secret.env",)) == (name != "site")
        assert "p:@" not in f"{service.command}{service.environment}"
    path = tmp_path / "secret.env"
    path.touch(0o600)
    path.write_text(files["api-1/secret.env"], encoding="utf-8")
    variables = read_env_file(path)
    assert variables["RENEC_API_KEY"] == variables["RENEC_API_KEYS"] == variables["TOKEN"] == "p:@ /\"é'\\#%"
    quoted = "p%3A%40%20%2F%22%C3%A9%27%5C%23%25"
    assert variables["DATABASE_URL"] == f"postgresql://renec_b:{quoted}@127.0.0.1:8452/renec"
    assert variables["REDIS_URL"] == f"redis://renec:{quoted}@127.0.0.1:8455/0"
    assert variables["CACHE_URL"] == f"redis://renec:{quoted}@127.0.0.1:8456/0"
    assert "RENEC_API_KEY" not in files["worker-1/secret.env"]
    assert set(found["api-1"].secrets) == set(_secrets(made))
    assert set(found["worker-1"].secrets) == {made.database.password, made.cache.password}


def test_the_api_accepts_the_key_before_while_one_is_rotated() -> None:
    made = profile()
    secrets = _secrets(made)
    key = made.workloads.api.key
    rotated = {**secrets, key: SecretVersion(Secret("new-key"), 2, previous=Secret("old-key"))}
    text = workloads.secret_files(made, HOST, rotated)["api-1/secret.env"]
    assert "RENEC_API_KEY=new-key\n" in text
    assert "RENEC_API_KEYS=new-key,old-key\n" in text
