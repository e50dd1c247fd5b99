"""What becomes of a client's words in SQL, and who owns shared metrics."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from renecinfra.reference import catalogue, metrics
from renecinfra.reference.backends import UnavailableError, bounded


def test_what_a_client_sends_is_a_value_and_never_sql() -> None:
    hostile = "'; DROP TABLE centros_v2; --"
    query = catalogue.list_query(catalogue.CENTRES, 3, 20, hostile, {"estado": hostile, "cert_id": None})
    assert b"DROP" not in query.rows + query.count
    assert query.values["estado"] == hostile
    assert query.values["offset"] == 40
    assert "cert_id" not in query.values


def test_only_known_columns_are_filters() -> None:
    with pytest.raises(ValueError, match="no filter"):
        catalogue.list_query(catalogue.CENTRES, 1, 20, None, {"1=1; --": "x"})


def test_wildcards_are_characters() -> None:
    assert catalogue.like_escape(r"50% _\ ") == r"50\% \_\\ "


def test_late_work_is_an_error_and_is_not_waited_for() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)  # as cancelling a query at a frozen server does

    async def run() -> float:
        start = asyncio.get_running_loop().time()
        with pytest.raises(UnavailableError, match=r"thing did not answer within 0\.05 s"):
            await bounded(stubborn(), 0.05, "thing")
        return asyncio.get_running_loop().time() - start

    assert asyncio.run(run()) < 0.25


def test_a_result_and_an_error_pass_through() -> None:
    async def value() -> int:
        return 7

    async def error() -> int:
        raise KeyError("x")

    assert asyncio.run(bounded(value(), 1, "thing")) == 7
    with pytest.raises(KeyError):
        asyncio.run(bounded(error(), 1, "thing"))


def test_an_owner_removes_what_earlier_owners_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setenv(metrics.VARIABLE, str(tmp_path / "metrics"))
    metrics.share(1)
    (tmp_path / "metrics" / "1" / "counter_1.db").touch()
    metrics.share(2)
    assert [path.name for path in (tmp_path / "metrics").iterdir()] == ["2"]
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path / "metrics" / "2")


def test_gauges_of_dead_processes_are_forgotten(tmp_path: Path) -> None:
    alive, dead = tmp_path / f"gauge_livesum_{os.getpid()}.db", tmp_path / "gauge_livesum_99999999.db"
    counter = tmp_path / "counter_99999999.db"
    for file in (alive, dead, counter):
        file.touch()
    metrics.forget_dead(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted((alive, counter))
