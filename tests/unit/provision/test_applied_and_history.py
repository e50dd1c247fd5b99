"""What is recorded of an `up`, and what drift and history make of records."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from renecinfra.errors import ToolError
from renecinfra.journal import Journal
from renecinfra.provision import applied, drifting, history
from renecinfra.rendering import RenderedFile
from renecinfra.workspace import EnvironmentPaths

BUNDLE = {
    "services/edge/nginx.conf": RenderedFile("a\n"),
    "services/edge/gone.conf": RenderedFile("b\n"),
    "services/run.sh": RenderedFile("c\n", 0o755),
    "terraform/main.tf": RenderedFile("d\n"),
}


@pytest.fixture
def paths(tmp_path: Path) -> EnvironmentPaths:
    made = EnvironmentPaths("case", tmp_path / "state", tmp_path / "home")
    for path, file in BUNDLE.items():
        if path.startswith("services/"):
            target = made.etc / path.removeprefix("services/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.text)
            target.chmod(file.mode)
    return made


def session(paths: EnvironmentPaths) -> Any:
    return SimpleNamespace(paths=paths, name="case")


def test_what_is_recorded_holds_no_values(paths: EnvironmentPaths) -> None:
    assert applied.applied(paths) is None and applied.files(paths) is None
    applied.remember(paths, {"generated:api_key": 3}, BUNDLE)
    assert applied.applied(paths) == {"generated:api_key": 3}
    assert set(applied.files(paths) or ()) == {"edge/nginx.conf", "edge/gone.conf", "run.sh"}
    file = paths.state / "applied.json"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("[")
    assert applied.applied(paths) is None
    applied.forget(paths)
    assert not file.exists()


def test_files_that_somebody_else_changed(paths: EnvironmentPaths) -> None:
    skipped: dict[str, str] = {}
    assert list(drifting._files(session(paths), skipped)) == []
    assert "files" in skipped
    applied.remember(paths, {}, BUNDLE)
    assert list(drifting._files(session(paths), {})) == []

    (paths.etc / "edge" / "nginx.conf").write_text("other\n")
    (paths.etc / "edge" / "gone.conf").unlink()
    (paths.etc / "run.sh").chmod(0o777)
    (paths.etc / "more").write_text("x")
    secret = paths.etc / "password"
    secret.write_text("x")
    secret.chmod(0o600)
    found = {item.address: item for item in drifting._files(session(paths), {})}
    assert {name: item.seen for name, item in found.items()} == {
        "edge/nginx.conf": "was changed",
        "edge/gone.conf": "is gone",
        "run.sh": "was changed",
        "more": "was not put there by `up`",
    }
    assert all(item.who and item.when for item in found.values())


def test_an_environment_that_is_not_up_cannot_drift(paths: EnvironmentPaths) -> None:
    with pytest.raises(ToolError, match="is not up"):
        drifting.drift(session(paths), [])


def test_the_history_tells_how_runs_ended(paths: EnvironmentPaths) -> None:
    journal = Journal(paths.journal)
    with journal.running("up", ["up", "case"], "d" * 64) as run, run.step("plan"):
        pass
    with pytest.raises(ToolError), journal.running("up", ["up", "case"], "d" * 64) as run, run.step("apply"):
        raise ToolError("port-taken", "taken")
    journal.start("drift", ["drift", "case"], "d" * 64)
    runs = history.history(paths, 10)
    assert [history.result(run) for run in runs] == ["running", "exit 4 in apply: port-taken", "ok"]
    assert [run.command for run in history.history(paths, 1)] == ["drift"]
    assert history.document(runs[1])["steps"][0]["error"] == "port-taken"
    assert runs[0].runner.pid == os.getpid()
