from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from renecinfra.errors import HookError, InterruptedRunError, ToolError
from renecinfra.journal import Journal
from renecinfra.redaction import Redactor
from renecinfra.sensitive import REDACTED, Secret

CRASH = """
import os, signal, sys
from pathlib import Path
from renecinfra.journal import Journal
run = Journal(Path(sys.argv[1])).start("up", ["up", "local"], "digest")
with run.step("plan"):
    pass
with run.step("apply"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.jsonl"


def test_a_run_as_it_was(path: Path) -> None:
    journal = Journal(path)
    with journal.running("up", ["up", "local"], "digest") as run:
        with run.step("plan"):
            pass
        with run.step("apply"):
            pass

    last = journal.last_run()
    assert last is not None
    assert (last.id, last.command, last.argv, last.profile) == (run.id, "up", ("up", "local"), "digest")
    assert [(step.name, step.state) for step in last.steps] == [("plan", "finished"), ("apply", "finished")]
    assert last.exit_code == 0
    assert last.runner.pid == os.getpid()
    assert journal.interrupted() is None
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("error", "state", "cause", "code"),
    [
        (HookError("hook-failed", "no"), "failed", "hook-failed", 8),
        (InterruptedRunError("interrupted", "stop"), "interrupted", "interrupted", 130),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt", 130),
        (ZeroDivisionError("a secret may be in here"), "failed", "ZeroDivisionError", 70),
    ],
)
def test_a_step_that_fails(path: Path, error: BaseException, state: str, cause: str, code: int) -> None:
    journal = Journal(path)
    with pytest.raises(type(error)), journal.running("up", [], "") as run, run.step("hooks"):
        raise error

    last = journal.last_run()
    assert last is not None
    assert (last.steps[0].state, last.steps[0].error, last.exit_code) == (state, cause, code)
    assert "a secret" not in path.read_text()


def test_a_killed_run_is_told_with_what_it_was_doing(path: Path) -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", CRASH, str(path)], os.environ)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

    interrupted = Journal(path).interrupted()
    assert interrupted is not None
    assert interrupted.exit_code is None
    assert [(step.name, step.state) for step in interrupted.steps] == [
        ("plan", "finished"),
        ("apply", "started"),
    ]


def test_a_run_that_still_runs_is_not_interrupted(path: Path) -> None:
    journal = Journal(path)
    journal.start("up", [], "")

    assert journal.last_run() is not None
    assert journal.interrupted() is None


def test_a_journal_torn_at_any_byte_is_read_and_goes_on(path: Path) -> None:
    journal = Journal(path)
    with journal.running("up", ["ñ\u2028"], "digest") as run, run.step("plan"):
        pass
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for length in [*range(0, start + 1, 37), *range(start + 1, len(whole), 11)]:
        path.write_bytes(whole[:length])
        with journal.running("down", [], "") as second:
            pass
        last = journal.last_run()
        assert last is not None
        assert (last.id, last.exit_code) == (second.id, 0)
        first = journal.runs()[0]
        assert first.id == (run.id if length >= start - 1 else second.id)


def test_an_empty_or_missing_journal(path: Path) -> None:
    assert Journal(path).last_run() is None
    assert Journal(path).interrupted() is None
    path.parent.mkdir()
    path.write_text("\n[]\n{}\nnot json\n")
    assert Journal(path).runs() == []


def test_argv_is_redacted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor()
    redactor.register(Secret("correct-horse"))
    monkeypatch.setattr("renecinfra.journal.redactor", redactor)
    Journal(path).start("up", ["--set", "x=correct-horse"], "")

    assert "correct-horse" not in path.read_text()
    assert REDACTED in path.read_text()


def test_it_keeps_to_its_size_in_whole_runs(path: Path) -> None:
    journal = Journal(path, max_bytes=10_000)
    ids = []
    for _ in range(60):
        with journal.running("up", ["up", "local"], "digest") as run, run.step("plan"):
            pass
        ids.append(run.id)
        assert path.stat().st_size < 12_000

    kept = journal.runs()
    assert [record.id for record in kept] == ids[-len(kept) :]
    assert 5 < len(kept) < 60
    assert all(record.exit_code == 0 and len(record.steps) == 1 for record in kept)
    assert path.stat().st_mode & 0o777 == 0o600


def test_pruning_keeps_the_last_run_however_large(path: Path) -> None:
    journal = Journal(path, max_bytes=100)
    first = journal.start("up", ["x" * 1000], "")
    journal.start("down", [], "")

    assert journal.runs()[0].id == first.id


def test_a_full_disk(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    with pytest.raises(ToolError, match="No space left on device") as caught:
        Journal(path).start("up", [], "")

    assert caught.value.id == "journal-unwritable"
