"""Services as files: what is in them, what changes a digest, and what never is in them."""

from __future__ import annotations

import configparser
import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from renecinfra.agents.home import load_home, load_manifest
from renecinfra.agents.supervisord import LAYERS
from renecinfra.errors import ToolError
from renecinfra.platforms.local.host import Host
from renecinfra.rendering import RenderedFile, write
from renecinfra.services import manifest
from renecinfra.services.definition import HealthCheck, Layer, Service
from renecinfra.workspace import EnvironmentPaths, ServiceUser


def host(root: Path = Path("/srv/renec")) -> Host:
    paths = EnvironmentPaths("local", root / "state", root / "home")
    return Host(
        paths, ServiceUser("svc", 1234, 5678, switched=True), "/opt/py thon/bin/python", {}, 2, 2**30, root
    )


SERVICE = Service(
    "api-1",
    Layer.WORKLOAD,
    ("/usr/bin/api", "--port", "8460"),
    HealthCheck("http", 8460, "/health/ready"),
    environment={"A": "1"},
    env_files=("secret.env",),
    secrets=("generated:database_password",),
    files={"api.conf": RenderedFile("one")},
    reload_files={"rules.yml": RenderedFile("rule: 1")},
    reload="hup",
)
VERSIONS = {"generated:database_password": 3}


def test_the_agents_read_what_is_written(tmp_path: Path) -> None:
    here = host(tmp_path)
    write(manifest.service_bundle([SERVICE], here), tmp_path)
    here.paths.home.mkdir()
    (tmp_path / "services").rename(here.paths.etc)
    home = load_home(here.paths.home)
    assert (home.uid, home.gid, home.python, home.run) == (1234, 5678, here.python, here.paths.run)
    assert home.identifier == manifest.supervisor_identifier(here)
    read = load_manifest(here.paths.home, "api-1")
    assert read.command == ["/usr/bin/api", "--port", "8460"]
    assert read.health["path"] == "/health/ready"
    assert (read.layer, read.kind, read.env_files) == ("workload", "process", ["secret.env"])


def test_supervisord_is_given_the_launcher_and_nothing_of_the_service() -> None:
    bundle = manifest.service_bundle([SERVICE], host())
    parser = configparser.RawConfigParser()
    parser.read_string(bundle["services/api-1/supervisor.conf"].text)
    program = parser["program:api-1"]
    launcher = "/srv/renec/home/lib/renecinfra/agents/launch.py"
    assert shlex.split(program["command"]) == [
        "/opt/py thon/bin/python",
        "-I",
        "-S",
        launcher,
        "--home",
        "/srv/renec/home",
        "api-1",
    ]
    assert (program["autostart"], program["autorestart"], program["killasgroup"]) == ("false", "true", "true")
    job = dataclasses.replace(SERVICE, kind="job")
    assert (
        "autorestart=false" in manifest.service_bundle([job], host())["services/api-1/supervisor.conf"].text
    )
    changed = dataclasses.replace(SERVICE, command=("/usr/bin/other",), environment={"B": "2"})
    other = manifest.service_bundle([changed], host())
    assert other["services/api-1/supervisor.conf"] == bundle["services/api-1/supervisor.conf"]


def test_one_services_change_leaves_the_others_files_alone() -> None:
    other = dataclasses.replace(SERVICE, name="api-2")
    one = manifest.service_bundle([SERVICE], host())
    both = manifest.service_bundle([SERVICE, other], host())
    assert {path: both[path] for path in one} == dict(one)


@pytest.mark.parametrize(
    "changes",
    [
        {"command": ("/usr/bin/api",)},
        {"environment": {"A": "2"}},
        {"directory": "/srv"},
        {"env_files": ()},
        {"files": {"api.conf": RenderedFile("two")}},
        {"files": {"api.conf": RenderedFile("one", 0o755)}},
        {"files": {"other.conf": RenderedFile("one")}},
        {"stop_signal": "INT"},
        {"kind": "job"},
        {"name": "api-2"},
    ],
)
def test_what_asks_for_a_restart(changes: dict[str, object]) -> None:
    changed = dataclasses.replace(SERVICE, **changes)  # type: ignore[arg-type]
    assert manifest.restart_digest(changed, VERSIONS) != manifest.restart_digest(SERVICE, VERSIONS)


@pytest.mark.parametrize(
    "changes",
    [
        {"reload_files": {"rules.yml": RenderedFile("rule: 2")}},
        {"health": HealthCheck("tcp", 8460)},
        {"start_seconds": 99},
        {"environment": {"A": "1"}},
    ],
)
def test_what_does_not(changes: dict[str, object]) -> None:
    changed = dataclasses.replace(SERVICE, **changes)  # type: ignore[arg-type]
    assert manifest.restart_digest(changed, VERSIONS) == manifest.restart_digest(SERVICE, VERSIONS)


def test_a_new_version_of_a_secret_asks_for_a_restart() -> None:
    newer = manifest.restart_digest(SERVICE, {"generated:database_password": 4})
    assert newer != manifest.restart_digest(SERVICE, VERSIONS)
    unrelated = {**VERSIONS, "generated:other": 9}
    assert manifest.restart_digest(SERVICE, unrelated) == manifest.restart_digest(SERVICE, VERSIONS)


def test_a_new_version_of_a_secret_that_is_read_again_asks_for_a_reload_alone() -> None:
    service = dataclasses.replace(SERVICE, reload_secrets=("generated:other",))
    digests = set()
    for version in (1, 2):
        versions = {**VERSIONS, "generated:other": version}
        assert manifest.restart_digest(service, versions) == manifest.restart_digest(SERVICE, VERSIONS)
        bundle = manifest.service_bundle([service], host(), versions)
        digests.add(json.loads(bundle["services/api-1/service.json"].text)["reload_digest"])
    assert len(digests) == 2


def test_our_own_modules_restart_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = dataclasses.replace(SERVICE, command=("python", "-m", "renecinfra.reference.site"))
    before = manifest.restart_digest(ours, VERSIONS), manifest.restart_digest(SERVICE, VERSIONS)
    monkeypatch.setattr(manifest, "_library_digest", lambda: "another")
    after = manifest.restart_digest(ours, VERSIONS), manifest.restart_digest(SERVICE, VERSIONS)
    assert (before[0] != after[0], before[1] == after[1]) == (True, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda here: dataclasses.replace(here, python="/usr/bin/python3"),
        lambda here: dataclasses.replace(here, user=ServiceUser("other", 1, 1, switched=True)),
        lambda here: host(Path("/srv/other")),
    ],
)
def test_what_replaces_the_supervisor(change: Callable[[Host], Host]) -> None:
    assert manifest.supervisor_identifier(change(host())) != manifest.supervisor_identifier(host())


def test_tfvars() -> None:
    variables = json.loads(manifest.tfvars([SERVICE], host(), VERSIONS))
    assert variables == {
        "home": "/srv/renec/home",
        "python": "/opt/py thon/bin/python",
        "supervisor": manifest.supervisor_identifier(host()),
        "services": {"api-1": {"layer": "workload", "digest": manifest.restart_digest(SERVICE, VERSIONS)}},
    }


def test_the_layers_are_those_of_the_definition() -> None:
    assert tuple(Layer) == LAYERS


@pytest.mark.parametrize("name", ["a #b", "a ;b", "a\nb"])
def test_a_path_that_supervisord_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ToolError, match="cannot hold this path"):
        manifest.service_bundle([SERVICE], host(Path("/srv") / name))


def test_a_percent_sign_is_escaped() -> None:
    conf = manifest.service_bundle([SERVICE], host(Path("/srv/100%")))["services/supervisord.conf"].text
    assert "logfile=/srv/100%%/home/log/supervisord.log\n" in conf


def test_the_library_is_the_agents_and_the_reference() -> None:
    paths = set(manifest.library())
    assert {
        "renecinfra/__init__.py",
        "renecinfra/agents/launch.py",
        "renecinfra/reference/__init__.py",
    } <= paths
    assert manifest.library()["renecinfra/__init__.py"].text == ""
    assert not [path for path in paths if "__pycache__" in path]
