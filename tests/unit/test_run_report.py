"""The report of a run: its schema, where the option may stand, and what it never holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from renecinfra import cli
from renecinfra.console import Console
from renecinfra.errors import ToolError, UsageError
from renecinfra.run_report import RunReport, record, take_option

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "reference" / "schemas" / "report.json").read_text(encoding="utf-8")
)


def test_the_option_may_stand_anywhere(tmp_path: Path) -> None:
    file = str(tmp_path / "r.json")
    for words in (
        ["--report", file, "up", "x"],
        ["up", "--report", file, "x"],
        ["up", "x", f"--report={file}"],
    ):
        assert take_option(words) == (Path(file), ["up", "x"])
    assert take_option(["up", "x"]) == (None, ["up", "x"])
    assert take_option(["logs", "--", "--report", file]) == (None, ["logs", "--", "--report", file])


@pytest.mark.parametrize(
    "words", [["--report"], ["--report="], ["--report", "/nowhere/x/r"], ["--report", "/"]]
)
def test_a_file_that_cannot_be_is_refused_before_anything_is_done(words: list[str]) -> None:
    with pytest.raises(UsageError):
        take_option(["up", "x", *words])


@pytest.mark.parametrize(
    ("code", "result"), [(0, "ok"), (2, "changes"), (3, "failed"), (70, "failed"), (130, "interrupted")]
)
def test_the_document(code: int, result: str) -> None:
    report = RunReport()
    report.step("Planning", "ok", 1.23456)
    document = report.document(["plan", "x", "--json"], code)
    jsonschema.validate(document, SCHEMA)
    assert (document["result"], document["command"]) == (result, "plan")
    assert document["steps"] == [{"name": "Planning", "result": "ok", "seconds": 1.235}]


def test_steps_that_people_see_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Any] = []
    monkeypatch.setattr(record, "_steps", steps)
    console = Console(quiet=True)
    with console.step("One"):
        pass
    with pytest.raises(ToolError), console.step("Two"):
        raise ToolError("a", "b")
    with pytest.raises(KeyboardInterrupt), console.step("Three"):
        raise KeyboardInterrupt
    assert [(step["name"], step["result"]) for step in steps] == [
        ("One", "ok"),
        ("Two", "failed"),
        ("Three", "interrupted"),
    ]


def test_a_command_that_fails_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.json"
    monkeypatch.setenv("RENECINFRA_WORKSPACE", str(Path(__file__).parents[2]))
    monkeypatch.setattr(sys, "argv", ["renecinfra", "history", "nothing", "--report", str(target)])
    monkeypatch.setattr(record, "error", None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    document = json.loads(target.read_text(encoding="utf-8"))
    jsonschema.validate(document, SCHEMA)
    assert document["error"]["id"] == "profile-missing"
    assert document["arguments"] == ["history", "nothing"]
    assert "profile-missing" in capsys.readouterr().err
