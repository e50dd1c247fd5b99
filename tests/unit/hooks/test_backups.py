"""The backups hook: it waits for the first backup, and says why there is none."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from renecinfra.errors import HookError
from renecinfra.hooks import backups as hook
from renecinfra.hooks.backups import BackupsHook
from renecinfra.recovery.records import OBSERVATION, READY, STATE

SYSTEM = 7712239462826027967


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    database = SimpleNamespace(work=str(tmp_path), data=str(tmp_path / "cluster"))
    monkeypatch.setattr(hook.backups, "protected", lambda profile, host: database)
    control = tmp_path / "cluster" / "global" / "pg_control"
    control.parent.mkdir(parents=True)
    control.write_bytes(SYSTEM.to_bytes(8, "little") + b"rest")
    notes: list[str] = []
    return SimpleNamespace(
        profile=SimpleNamespace(environment="test"), host=None, note=notes.append, notes=notes, place=tmp_path
    )


def write(context: Any, name: str, **values: Any) -> None:
    written = context.place / f"{name}.new"
    written.write_text(json.dumps(values))
    written.replace(context.place / name)


def test_a_database_with_a_verified_backup_is_done_at_once(context: Any) -> None:
    write(context, READY, system_id=str(SYSTEM), at="2026-11-25T10:30:00+00:00")
    assert BackupsHook().run(context) == "a verified backup since 2026-11-25 10:30 UTC"
    assert [(check.name, check.ok) for check in BackupsHook().verify(context)] == [("first backup", True)]


def test_another_databases_backup_does_not_count(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write(context, READY, system_id="1", at="2026-11-25T10:30:00+00:00")
    monkeypatch.setattr(hook, "_GIVE_UP", 0.2)
    write(context, STATE, doing="taking the first backup", error="the disk is full", at=0)
    with pytest.raises(HookError) as caught:
        BackupsHook().run(context)
    assert caught.value.message == "taking the first backup: the disk is full"
    assert caught.value.hint is not None
    assert context.notes == ["backups: taking the first backup"]


def test_a_gap_fails_the_verification(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "_SETTLE", 0.1)
    write(context, READY, system_id=str(SYSTEM), at="2026-11-25T10:30:00+00:00")
    finding = {"name": "continuity of repository 1", "ok": False, "detail": "1 segments are missing"}
    other = {"name": "WAL receiver", "ok": False, "detail": "it does not stream"}
    now = datetime.now(UTC).isoformat()
    write(context, OBSERVATION, at=now, findings=[finding, other], problems=[])
    checks = BackupsHook().verify(context)
    assert [check.name for check in checks if not check.ok] == ["continuity of repository 1"]
    write(context, OBSERVATION, at="2026-01-01T00:00:00+00:00", findings=[finding], problems=[])
    assert all(check.ok for check in BackupsHook().verify(context))


def test_what_is_mended_meanwhile_is_waited_for(context: Any) -> None:
    write(context, READY, system_id=str(SYSTEM), at="2026-11-25T10:30:00+00:00")
    finding = {"name": "continuity of repository 1", "ok": True, "detail": "no gap"}
    receiver = {"name": "WAL receiver", "ok": False, "detail": "it does not stream"}
    now = datetime.now(UTC).isoformat()
    write(context, OBSERVATION, at=now, findings=[finding, receiver], problems=[])
    later = threading.Timer(
        0.3, lambda: write(context, OBSERVATION, at=now, findings=[finding], problems=["asked too early"])
    )
    last = threading.Timer(0.6, lambda: write(context, OBSERVATION, at=now, findings=[finding], problems=[]))
    started = time.monotonic()
    later.start()
    last.start()
    checks = BackupsHook().verify(context)
    assert time.monotonic() - started >= 0.5
    assert [(check.name, check.ok) for check in checks] == [
        ("first backup", True),
        ("continuity of repository 1", True),
    ]
