from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from renecinfra.errors import ToolError
from renecinfra.process import Completed
from renecinfra.services import interpreter
from renecinfra.workspace import ServiceUser

OTHER = ServiceUser("other", 54321, 54321, switched=True)
ME = ServiceUser("me", os.geteuid(), os.getegid(), switched=False)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(interpreter, "ROOT", tmp_path / "python")
    monkeypatch.setattr(interpreter, "system_python_version", lambda: (3, 11))
    return tmp_path / "python"


def test_requirements_are_the_services_extra() -> None:
    names = [line.split(">")[0] for line in interpreter.requirements()]
    assert "supervisor" in names
    assert "celery[redis]" in names
    assert "pytest" not in names
    assert not any(";" in line for line in interpreter.requirements()), "a marker would reach pip unread"


def test_the_caller_runs_services_on_our_own() -> None:
    assert interpreter.host_python(ME) == sys.executable


def test_a_caller_without_the_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "requirements", lambda: ("no-such-distribution>=1",))
    with pytest.raises(ToolError) as caught:
        interpreter.host_python(ME)
    assert caught.value.id == "services-extra-missing"
    assert "no-such-distribution" in caught.value.message


def test_another_user_needs_every_part_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "reachable", lambda *_: True)
    monkeypatch.setattr(interpreter, "permits", lambda *_: True)
    assert interpreter.can_use_ours(OTHER)
    monkeypatch.setattr(interpreter, "permits", lambda *_: False)
    assert not interpreter.can_use_ours(OTHER)
    monkeypatch.setattr(interpreter, "permits", lambda *_: True)
    monkeypatch.setattr(interpreter, "reachable", lambda path, *_: path.name != "os.py")
    assert not interpreter.can_use_ours(OTHER)


class Builder:
    """Stands in for process.run: makes what venv and pip would, or fails at the given program."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.argvs: list[list[str]] = []
        self.environments: list[dict[str, str]] = []

    def __call__(self, argv: list[str], *, env: dict[str, str], **_: object) -> Completed:
        self.argvs.append(argv)
        self.environments.append(env)
        if self.failing and self.failing in argv:
            return Completed(tuple(argv), 1, "", "line 1\nERROR: no route to the index")
        if "venv" in argv:
            binary = Path(argv[-1]) / "bin" / "python"
            binary.parent.mkdir(parents=True)
            binary.touch()
        return Completed(tuple(argv), 0, "", "")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own interpreter is closed to the service user."""
    monkeypatch.setattr(interpreter, "can_use_ours", lambda _: False)


@pytest.mark.usefixtures("closed")
def test_it_is_built_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = Builder()
    monkeypatch.setattr(interpreter.process, "run", builder)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    with pytest.raises(ToolError) as caught:
        interpreter.host_python(OTHER)
    assert caught.value.id == "services-python-missing"
    notes: list[str] = []
    path = interpreter.build(notes.append)
    assert path == interpreter.build(notes.append) == interpreter.host_python(OTHER)
    assert Path(path).is_relative_to(root)
    assert len(notes) == 1
    assert len(builder.argvs) == 2
    assert builder.argvs[1][-len(interpreter.requirements()) :] == list(interpreter.requirements())
    assert all("PYTHONPATH" not in environment for environment in builder.environments)


@pytest.mark.usefixtures("closed", "root")
def test_a_half_built_one_does_not_count_and_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter.process, "run", Builder(failing="pip"))
    with pytest.raises(ToolError) as caught:
        interpreter.build(lambda _: None)
    assert caught.value.id == "services-python-failed"
    assert caught.value.details[-1] == "ERROR: no route to the index"
    with pytest.raises(ToolError):
        interpreter.host_python(OTHER)
    monkeypatch.setattr(interpreter.process, "run", Builder())
    assert interpreter.build(lambda _: None) == interpreter.host_python(OTHER)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("version", [None, (3, 9)])
def test_an_old_system_python_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int] | None
) -> None:
    monkeypatch.setattr(interpreter, "system_python_version", lambda: version)
    with pytest.raises(ToolError) as caught:
        interpreter.build(lambda _: None)
    assert caught.value.id == "system-python-unsuitable"


def test_other_requirements_are_another_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = interpreter._built_directory()
    monkeypatch.setattr(interpreter, "requirements", lambda: ("celery>=9",))
    assert interpreter._built_directory() != before
