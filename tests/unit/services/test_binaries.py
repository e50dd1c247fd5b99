from __future__ import annotations

import os
from pathlib import Path

import pytest

from renecinfra.errors import ExitCode, ToolError
from renecinfra.services import binaries


def _program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any of the programs, whose places are below a temporary directory."""
    monkeypatch.setattr(binaries, "_SYSTEM_DIRECTORIES", (str(tmp_path / "sbin"),))
    monkeypatch.setattr(binaries, "_POSTGRESQL_ROOT", tmp_path / "postgresql")
    monkeypatch.setattr(binaries, "reachable", lambda *_: True)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def test_path_comes_before_the_systems_directories(machine: Path) -> None:
    system = _program(machine / "sbin" / "nginx")
    assert binaries.find(["nginx"]) == {"nginx": system}
    own = _program(machine / "bin" / "nginx")
    assert binaries.find(["nginx"]) == {"nginx": own}


def test_what_cannot_be_executed_is_passed_over(machine: Path) -> None:
    plain = Path(_program(machine / "bin" / "nginx"))
    plain.chmod(0o644)
    (machine / "bin" / "pgbouncer").mkdir()
    assert [p.name for p in binaries.search(["nginx", "pgbouncer"]).missing] == ["nginx", "pgbouncer"]


def test_relative_entries_of_path_are_ignored(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(machine / "bin" / "nginx")
    monkeypatch.chdir(machine)
    monkeypatch.setenv("PATH", f"bin{os.pathsep}")
    assert binaries.search(["nginx"]).missing


def test_entries_of_path_that_cannot_be_looked_into_are_passed_over(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = machine / "closed"
    closed.mkdir(mode=0o000)
    monkeypatch.setenv("PATH", f"{closed}:/{'x' * 300}:{machine / 'bin'}")
    own = _program(machine / "bin" / "nginx")
    assert binaries.find(["nginx"]) == {"nginx": own}
    closed.chmod(0o700)


def test_root_passes_over_directories_closed_to_services(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(machine / "bin" / "nginx")
    system = _program(machine / "sbin" / "nginx")
    monkeypatch.setattr(binaries.os, "geteuid", lambda: 0)
    monkeypatch.setattr(binaries, "reachable", lambda path, *_: path.name == "sbin")
    assert binaries.find(["nginx"]) == {"nginx": system}


def test_the_newest_postgresql_server_is_taken_not_a_newer_client(machine: Path) -> None:
    for major in (9, 14, 15):
        _program(machine / "postgresql" / str(major) / "bin" / "postgres")
        _program(machine / "postgresql" / str(major) / "bin" / "psql")
    _program(machine / "postgresql" / "17" / "bin" / "psql")
    _program(machine / "bin" / "psql")
    expected = machine / "postgresql" / "15" / "bin"
    assert binaries.find(["psql", "postgres"]) == {
        "psql": str(expected / "psql"),
        "postgres": str(expected / "postgres"),
    }


def test_the_named_postgresql_or_none(machine: Path) -> None:
    _program(machine / "postgresql" / "15" / "bin" / "postgres")
    _program(machine / "bin" / "postgres")
    with pytest.raises(ToolError) as caught:
        binaries.find(["postgres"], postgresql_version=16)
    assert "postgresql-16" in (caught.value.hint or "")
    found = binaries.find(["postgres"], postgresql_version=15)
    assert found["postgres"] == str(machine / "postgresql" / "15" / "bin" / "postgres")


def test_postgresql_on_path_will_do_where_debian_has_none(machine: Path) -> None:
    own = _program(machine / "bin" / "postgres")
    assert binaries.find(["postgres"]) == {"postgres": own}


def test_everything_missing_is_named_with_one_command() -> None:
    with pytest.raises(ToolError) as caught:
        binaries.find()
    error = caught.value
    assert error.id == "programs-missing"
    assert error.exit_code == ExitCode.TOOL
    assert all(name in error.message for name in binaries.PROGRAMS)
    assert error.hint is not None
    packages = error.hint.partition("--no-install-recommends ")[2].rstrip("`").split()
    assert sorted(packages) == sorted({program.package for program in binaries.PROGRAMS.values()})


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n", (15, 20)),
        ("PgBouncer 1.18.0\nlibevent 2.1.12-stable", (1, 18, 0)),
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", (7, 0, 15)),
        ("nginx version: nginx/1.22.1\n", (1, 22, 1)),
        ("prometheus, version 2.42.0+ds (branch: debian/sid)", (2, 42, 0)),
        ('time="2026-11-24T17:25:12Z" level=info msg="Redis Metrics Exporter 1.45.0-2+b4  ', (1, 45, 0)),
        ("NGINX Prometheus Exporter version=0.11.0-1+b4 commit= date=", (0, 11, 0)),
        ("nginx-prometheus-exporter, version v1.4.1 (branch: main)", (1, 4, 1)),
        ("no number here", None),
    ],
)
def test_versions_are_read_as_programs_print_them(output: str, version: tuple[int, ...] | None) -> None:
    assert binaries.PROGRAMS["nginx"].parse_version(output) == version
