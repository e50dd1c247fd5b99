"""The end of old values, also of those that a killed run left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from renecinfra.provision import retirement
from renecinfra.reporting import SilentReporter

KEY = "generated:api_key"


@pytest.fixture
def restarted() -> list[str]:
    return []


@pytest.fixture
def session(tmp_path: Path, restarted: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(retirement, "_SETTLE_SECONDS", 0)
    monkeypatch.setattr(retirement.rotation, "retire", lambda *_: None)
    monkeypatch.setattr(retirement.home, "install", lambda *_: SimpleNamespace(changed=()))
    services = [SimpleNamespace(name=name) for name in ("api-1", "api-2", "worker-1")]
    return SimpleNamespace(
        paths=SimpleNamespace(state=tmp_path),
        profile=SimpleNamespace(workloads=SimpleNamespace(api=SimpleNamespace(key=KEY))),
        environment=SimpleNamespace(host=None, services=services, secret_files=lambda _: {}),
        supervision=SimpleNamespace(restart=restarted.append),
        reporter=SilentReporter(),
    )


PLAN: Any = SimpleNamespace(bundle={}, secrets={})


def test_it_is_due_from_its_beginning_to_its_end(session: Any, restarted: list[str]) -> None:
    assert not retirement.is_due(session)
    retirement.begin(session)
    assert retirement.is_due(session)
    retirement.finish(session, PLAN, resumed=True)
    assert not retirement.is_due(session)
    assert restarted == []


def test_an_api_that_a_killed_rotation_gave_both_keys_is_restarted(
    session: Any, restarted: list[str]
) -> None:
    retirement.begin(session, KEY)
    retirement.begin(session)  # of the `up` that goes on
    retirement.finish(session, PLAN, resumed=True)
    assert restarted == ["api-1", "api-2"]


def test_the_edge_is_given_time_after_every_api_and_after_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    for name in ("worker-1", "api-1", "api-2"):
        retirement.settle(name)
    # nginx leaves a server alone for fail_timeout of 2 s, counted in whole seconds: up to 3 s.
    assert len(slept) == 2
    assert min(slept) > 3


def test_what_cannot_be_ended_stays_due(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(retirement.rotation, "retire", refuse)
    retirement.begin(session, KEY)
    with pytest.raises(RuntimeError):
        retirement.finish(session, PLAN)
    assert retirement.is_due(session)
