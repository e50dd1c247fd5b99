from __future__ import annotations

import socket
from pathlib import Path

import pytest

from renecinfra import doctor
from renecinfra.errors import ToolError
from renecinfra.process import Completed
from renecinfra.profiles.model import Profile
from renecinfra.services import binaries, interpreter
from renecinfra.workspace import EnvironmentPaths, Workspace


def _by_name(findings: list[doctor.Finding]) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in findings}


def test_every_part_of_the_machine_is_in_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "search", lambda **_: binaries.Search({}, (), ()))
    found = _by_name(doctor.examine(None, None))
    assert {"python", "terraform", "service user", "memory", "disk", "open files", "locale", "clock"} <= set(
        found
    )
    assert found["python"].ok
    assert found["locale"].ok
    assert found["clock"].ok
    assert not any(finding.hint for finding in found.values() if finding.ok)


def test_a_missing_program_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    nginx = binaries.PROGRAMS["nginx"]
    monkeypatch.setattr(binaries, "search", lambda **_: binaries.Search({}, (nginx,), ("nginx",)))
    (finding,) = doctor._programs(None)
    assert finding.name == "nginx"
    assert not finding.ok
    assert "apt-get install --no-install-recommends nginx" in (finding.hint or "")


@pytest.mark.parametrize(
    ("printed", "ok", "detail"),
    [
        ("nginx version: nginx/1.26.3", True, "1.26.3 (/x/nginx)"),
        ("nginx version: nginx/1.18.0", False, "1.18.0 (/x/nginx)"),
        ("Segmentation fault", False, "/x/nginx does not tell its version"),
    ],
)
def test_a_programs_version_is_judged(
    monkeypatch: pytest.MonkeyPatch, printed: str, ok: bool, detail: str
) -> None:
    monkeypatch.setattr(doctor.process, "run", lambda argv, **_: Completed(tuple(argv), 0, "", printed))
    finding = doctor._program("nginx", "/x/nginx")
    assert (finding.ok, finding.detail) == (ok, detail)
    assert ok or finding.hint


def test_a_program_that_cannot_run_is_a_finding_not_a_failure(tmp_path: Path) -> None:
    finding = doctor._program("nginx", str(tmp_path / "nginx"))
    assert not finding.ok


def test_the_services_python_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> str:
        raise ToolError("services-python-missing", "there is none", hint="install it")

    monkeypatch.setattr(
        doctor, "service_user", lambda name: interpreter.ServiceUser(name, 1, 1, switched=True)
    )
    monkeypatch.setattr(interpreter, "host_python", refuse)
    user, python = doctor._services_python(None)
    assert user.ok
    assert (python.ok, python.detail, python.hint) == (False, "there is none", "install it")


def test_too_long_a_path_for_sockets_is_found(tmp_path: Path) -> None:
    short = EnvironmentPaths("local", Path("/w/.renecinfra/local"), Path("/var/lib/renecinfra/local-0"))
    assert doctor._socket_path(short).ok


def test_a_taken_port_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "environments").mkdir()
    paths = Workspace(tmp_path).paths("local")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        finding = doctor._ports({"edge": port}, paths)
        assert not finding.ok
        assert str(port) in finding.detail
    assert doctor._ports({"edge": port}, paths).ok


def test_what_a_profile_needs_is_looked_at_only_for_the_local_platform(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    local = Profile.model_validate({"environment": "local", "platform": {"kind": "local"}})
    cluster = Profile.model_validate(
        {"environment": "onprem", "platform": {"kind": "kubernetes", "context": "c", "storage_class": "s"}}
    )
    assert {"ports", "socket paths"} <= set(_by_name(doctor.examine(workspace, local)))
    assert not {"ports", "socket paths"} & set(_by_name(doctor.examine(workspace, cluster)))


def test_a_cluster_takes_helm_kubectl_and_its_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cluster = Profile.model_validate(
        {"environment": "onprem", "platform": {"kind": "kubernetes", "context": "c", "storage_class": "s"}}
    )
    found = _by_name(doctor.examine(Workspace(tmp_path), cluster))
    assert set(found) == {"python", "helm", "kubectl", "context", "clock"}
    assert not found["helm"].ok
    assert "install Helm 3.17" in (found["helm"].hint or "")
    assert "postgres" not in found
