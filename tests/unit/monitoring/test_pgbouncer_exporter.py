"""The PgBouncer exporter's translation of SHOW into metrics, and its start."""

from __future__ import annotations

import pytest

from renecinfra.exporters.pgbouncer import EX_USAGE, PgBouncerCollector, main, pool_metrics, stats_metrics

POOL = {
    "database": "renec",
    "user": "renec",
    "cl_active": 3,
    "cl_waiting": 2,
    "sv_active": 1,
    "sv_idle": 4,
    "sv_used": 0,
    "sv_login": 0,
    "maxwait": 2,
    "maxwait_us": 500000,
}
STATS = {
    "database": "renec",
    "xact_count": 5,
    "query_count": 7,
    "bytes_received": 10,
    "bytes_sent": 20,
    "xact_time": 2_000_000,
    "query_time": 1_500_000,
    "wait_time": 250_000,
}


def test_pools() -> None:
    console = {**POOL, "database": "pgbouncer"}
    samples = [sample for metric in pool_metrics([POOL, console]) for sample in metric.samples]
    values = {sample.name: sample.value for sample in samples}
    assert values["pgbouncer_pool_client_waiting"] == 2
    assert values["pgbouncer_pool_maxwait_seconds"] == 2.5
    assert {sample.labels["database"] for sample in samples} == {"renec"}


def test_times_are_in_seconds() -> None:
    values = {s.name: s.value for metric in stats_metrics([STATS]) for s in metric.samples}
    assert values["pgbouncer_queries_total"] == 7
    assert values["pgbouncer_wait_seconds_total"] == 0.25


def test_down_is_a_metric_and_one_line_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    collector = PgBouncerCollector("host=127.0.0.1 port=1 user=x password=hidden connect_timeout=1")
    for _ in range(2):
        [up] = list(collector.collect())
        assert [(s.name, s.value) for s in up.samples] == [("pgbouncer_up", 0)]
    errors = capsys.readouterr().err
    assert len(errors.splitlines()) == 1
    assert "hidden" not in errors


def test_a_missing_variable_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"EXPORTER_PORT": "1"}) == EX_USAGE
    assert "PGBOUNCER_PORT" in capsys.readouterr().err
