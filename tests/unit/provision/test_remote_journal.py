"""The journal that several machines see: kept at the start and the end of a run, and never in its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from renecinfra.errors import ToolError
from renecinfra.identity import Runner
from renecinfra.journal import Journal
from renecinfra.provision.history import result
from renecinfra.provision.remote_journal import everybodys, journaled
from renecinfra.reporting import SilentReporter


@dataclass
class Store:
    kept: dict[str, str] = field(default_factory=dict)
    error: str = ""
    there: bool = True

    def put(self, run: str, text: str) -> bool:
        if self.error:
            raise ToolError("aws-access-denied", self.error)
        if self.there:
            self.kept[run] = text
        return self.there

    def newest(self, limit: int) -> list[str]:
        return [self.kept[run] for run in sorted(self.kept, reverse=True)[:limit]]


class Reporter(SilentReporter):
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


def run(path: Path, store: Store, reporter: Any = None, command: str = "up") -> Any:
    return journaled(
        Journal(path),
        store,
        reporter or SilentReporter(),
        command=command,
        argv=[command, "prod"],
        profile="p",
    )


def test_a_run_is_seen_from_elsewhere_while_it_runs_and_after_it(tmp_path: Path) -> None:
    store = Store()
    with run(tmp_path / "a", store) as one:
        (seen,) = everybodys(Journal(tmp_path / "b"), store, 10)
        assert (seen.id, seen.exit_code) == (one.id, None)
        with one.step("plan"):
            pass
    (seen,) = everybodys(Journal(tmp_path / "b"), store, 10)
    assert (seen.exit_code, [step.name for step in seen.steps]) == (0, ["plan"])


def test_a_run_that_fails_is_kept_with_its_error(tmp_path: Path) -> None:
    store = Store()
    with pytest.raises(ToolError), run(tmp_path / "a", store) as one, one.step("apply"):
        raise ToolError("aws-throttled", "too often")
    (seen,) = everybodys(Journal(tmp_path / "b"), store, 10)
    assert result(seen) == "exit 4 in apply: aws-throttled"


def test_runs_of_two_machines_are_in_the_order_of_time_and_no_more_than_asked_for(tmp_path: Path) -> None:
    store = Store()
    ids = []
    for name in ("a", "b", "a"):
        with run(tmp_path / name, store) as one:
            ids.append(one.id)
    for name in ("a", "b", "c"):
        seen = [record.id for record in everybodys(Journal(tmp_path / name), store, 10)]
        assert sorted(seen) == sorted(ids)
    assert len(everybodys(Journal(tmp_path / "c"), store, 2)) == 2


@pytest.mark.parametrize("command", ["plan", "drift"])
def test_what_only_looks_needs_no_right_to_write(tmp_path: Path, command: str) -> None:
    store, reporter = Store(error="denied"), Reporter()
    with run(tmp_path / "a", store, reporter, command):
        pass
    assert not store.kept
    assert not reporter.warned
    assert len(Journal(tmp_path / "a").runs()) == 1


def test_a_store_that_refuses_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    reporter = Reporter()
    with run(tmp_path / "a", Store(error="AWS denies it"), reporter):
        pass
    assert reporter.warned == ["this run is in the journal of this machine only: AWS denies it"]
    (seen,) = Journal(tmp_path / "a").runs()
    assert seen.exit_code == 0


def test_no_place_yet_is_nothing_to_warn_of(tmp_path: Path) -> None:
    """The bucket is made by the first `up` itself."""
    store, reporter = Store(there=False), Reporter()
    with run(tmp_path / "a", store, reporter):
        store.there = True
    assert not reporter.warned
    assert len(store.kept) == 1


def test_a_run_elsewhere_without_an_end_is_not_called_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    elsewhere = Runner(1, "somebody", "another-machine", None)
    monkeypatch.setattr("renecinfra.journal.current_runner", lambda: elsewhere)
    with run(tmp_path / "a", store):
        (seen,) = everybodys(Journal(tmp_path / "b"), store, 1)
    assert result(seen) == "running or cut off"
