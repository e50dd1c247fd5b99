"""Several environments planned at a time: their outcomes, their order, and that they overlap."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from renecinfra.provision import side_by_side
from renecinfra.review.outcome import exit_code
from renecinfra.workspace import Workspace


def document(name: str, *, changes: bool) -> str:
    return json.dumps(
        {
            "environment": name,
            "profile": "a" * 64,
            "commit": None,
            "versions": {"renecinfra": "0.1.0"},
            "changes": changes,
            "graded": [],
        }
    )


def test_every_outcome_is_told_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=20)
    printed = {
        "changed": document("changed", changes=True),
        "current": document("current", changes=False),
        "broken": json.dumps({"error": {"id": "profile-invalid", "message": "wrong", "hint": None}}),
        "killed": "",
    }
    seen: list[Any] = []

    def run(argv: Any, **options: Any) -> Any:
        seen.append((argv, options["env"]["RENECINFRA_WORKSPACE"]))
        together.wait()
        return SimpleNamespace(stdout=printed[argv[4]], stderr="out of memory\n", returncode=137)

    monkeypatch.setattr(side_by_side, "run", run)
    done: list[str] = []
    outcomes = side_by_side.plan_all(
        Workspace(tmp_path),
        list(printed),
        overrides=["a.b=1"],
        on_done=lambda one: done.append(one.environment),
        workers=2,
    )
    assert [one.environment for one in outcomes] == list(printed)
    assert [one.exit_code for one in outcomes] == [2, 0, 1, 1]
    assert outcomes[3].error is not None and "out of memory" in outcomes[3].error["message"]
    assert sorted(done) == sorted(printed)
    assert exit_code(outcomes) == 1
    argv, workspace = seen[0]
    assert argv[1:4] == ["-m", "renecinfra", "plan"] and argv[-2:] == ["--set", "a.b=1"]
    assert workspace == str(tmp_path)


def test_no_environments(tmp_path: Path) -> None:
    assert side_by_side.plan_all(Workspace(tmp_path), []) == []
    assert exit_code([]) == 0
