"""How often the service looks around."""

from __future__ import annotations

import types

import pytest

from renecinfra.errors import ToolError
from renecinfra.recovery import keeper as module
from renecinfra.recovery.keeper import Keeper


def test_what_is_wrong_is_looked_at_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_document", lambda *_: None)
    monkeypatch.setattr(module.receiver, "prune", lambda *_: None)
    looks = iter([True, False, False, False, False, True])
    pauses: list[float] = []

    class Stop:
        def is_set(self) -> bool:
            return len(pauses) == 6

        def wait(self, seconds: float) -> bool:
            if seconds >= module._LOOK_AGAIN_SECONDS:
                pauses.append(seconds)
            return False

    one = object.__new__(Keeper)
    one.database = types.SimpleNamespace(work="/nowhere", identity=None)  # type: ignore[assignment]
    one._ready, one._stop = True, Stop()  # type: ignore[assignment]
    one._observer = types.SimpleNamespace(  # type: ignore[assignment]
        observe=lambda: types.SimpleNamespace(sound=next(looks), document=dict)
    )
    one._look()
    assert pauses == [30, 2, 4, 8, 8, 30]


def test_a_beat_that_failed_is_made_up_for_soon_and_the_archive_is_seen_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(0, 1000, 10))
    answers = iter([ToolError("primary-unreachable", "it starts"), None, None])
    beats: list[float] = []
    switches: list[float] = []
    now = [0.0]

    class Stop:
        def is_set(self) -> bool:
            now[0] = next(clock)
            return now[0] > 70

        def wait(self, _seconds: float) -> bool:
            return False

    def beat(_database: object) -> None:
        beats.append(now[0])
        answer = next(answers)
        if answer is not None:
            raise answer

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.heartbeat, "prepare", lambda _: None)
    monkeypatch.setattr(module.heartbeat, "beat", beat)
    monkeypatch.setattr(module.heartbeat, "switch_overdue", lambda _, seconds: switches.append(seconds))
    one = object.__new__(Keeper)
    one.database = types.SimpleNamespace(policy=types.SimpleNamespace(archive_timeout=60.0))  # type: ignore[assignment]
    one._stop = Stop()  # type: ignore[assignment]
    one._until_done = lambda _what, action: action()  # type: ignore[method-assign]
    one._beat()
    assert beats == [0, 10, 70]
    assert set(switches) == {65.0}
    assert len(switches) == 7
