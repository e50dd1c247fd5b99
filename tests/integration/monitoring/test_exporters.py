"""The exporters against the real servers, as defined: logins, rights, and the metrics that rules read."""

from __future__ import annotations

import time

import psycopg
import pytest
import redis

from renecinfra import tls
from renecinfra.platforms.local import access
from renecinfra.platforms.local.scraping import scrape_jobs

from .conftest import PASSWORD, Stack, eventually

pytestmark = pytest.mark.integration


def test_postgresql(stack: Stack) -> None:
    name = "postgresql-primary-exporter"
    stack.start(name)
    found = stack.wait(name, "pg_up", 1)
    assert any(key.startswith("pg_stat_activity_count{") for key in found)
    assert [v for k, v in found.items() if k.startswith("pg_settings_max_connections{")] == [100]
    assert value(found, "renec_replication_streaming_replicas") == 0
    assert value(found, "renec_replication_lag_seconds") == 0
    # The table is not there yet: no metric, and no error either.
    assert value(found, "renec_harvest_runs") is None
    assert found["pg_exporter_last_scrape_error"] == 0, stack.log(name)


@pytest.mark.parametrize(
    "spelling", [("start_time", "end_time", "completed"), ("started_at", "finished_at", "succeeded")]
)
def test_harvests_in_either_spelling(stack: Stack, spelling: tuple[str, str, str]) -> None:
    name = "postgresql-primary-exporter"
    if name not in stack.children:
        stack.start(name)
        stack.wait(name, "pg_up", 1)
    start, end, good = spelling
    stack.sql("DROP TABLE IF EXISTS harvest_runs")
    stack.sql(
        f"CREATE TABLE harvest_runs (status text NOT NULL, {start} timestamptz NOT NULL, {end} timestamptz)"
    )
    found = stack.metrics(name)
    assert value(found, "renec_harvest_runs") == 0
    assert str(value(found, "renec_harvest_fresh_timestamp_seconds")) == "nan"
    stack.sql(
        f"INSERT INTO harvest_runs VALUES ('{good}', '2026-01-01 02:00Z', '2026-01-01 02:10Z'), "
        "('failed', '2026-01-02 02:00Z', '2026-01-02 02:01Z'), "
        "('failed', '2026-01-03 02:00Z', '2026-01-03 02:05Z')"
    )
    found = stack.metrics(name)
    assert value(found, "renec_harvest_runs") == 3
    assert value(found, "renec_harvest_last_success_timestamp_seconds") == 1767233400
    assert value(found, "renec_harvest_fresh_timestamp_seconds") == 1767233400
    assert value(found, "renec_harvest_consecutive_failures") == 2
    assert value(found, "renec_harvest_duration_seconds") == 300
    stack.sql("INSERT INTO harvest_runs VALUES ('running', now() - interval '1 hour', NULL)")
    found = stack.metrics(name)
    assert value(found, "renec_harvest_running") == 1
    assert 3600 <= (value(found, "renec_harvest_duration_seconds") or 0) < 3700
    assert found["pg_exporter_last_scrape_error"] == 0, stack.log(name)


def test_a_replica_streams_and_says_nothing_of_its_own(stack: Stack) -> None:
    primary, replica = "postgresql-primary-exporter", "postgresql-replica-exporter"
    stack.start(replica)
    # In the first layer, before its server: it serves and says 0.
    stack.wait(replica, "pg_up", 0)
    if primary not in stack.children:
        stack.start(primary)
    stack.start("postgresql-replica")
    found = stack.wait(replica, "pg_up", 1)
    assert value(found, "renec_replication_streaming_replicas") is None
    assert value(found, "renec_harvest_runs") is None
    assert found["pg_exporter_last_scrape_error"] == 0, stack.log(replica)
    eventually(
        lambda: value(stack.metrics(primary), "renec_replication_streaming_replicas") == 1,
        10,
        lambda: stack.log("postgresql-replica"),
    )


def value(found: dict[str, float], metric: str) -> float | None:
    """A metric whatever its labels."""
    return next((v for k, v in found.items() if k.partition("{")[0] == metric), None)


def test_pgbouncer_up_down_and_up_again(stack: Stack) -> None:
    name = "pgbouncer-exporter"
    stack.start(name)
    stack.wait(name, "pgbouncer_up", 1)
    dsn = access.database_dsn(stack.profile, stack.host, stack.secrets, "pooler", role="application")
    with psycopg.connect(**dsn, prepare_threshold=None) as connection:
        connection.execute("SELECT 1")
        found = stack.metrics(name)
        assert found[f'pgbouncer_pool_server_active{{database="renec",user="{dsn["user"]}"}}'] == 1
        assert found[f'pgbouncer_pool_maxwait_seconds{{database="renec",user="{dsn["user"]}"}}'] == 0
    assert stack.metrics(name)['pgbouncer_queries_total{database="renec"}'] >= 1
    stack.stop("pgbouncer")
    stack.wait(name, "pgbouncer_up", 0)
    stack.start("pgbouncer")
    stack.wait(name, "pgbouncer_up", 1)
    log = stack.log(name)
    assert "PgBouncer answers again" in log
    assert PASSWORD not in log


def test_redis_queue_depth(stack: Stack) -> None:
    name = "redis-broker-exporter"
    stack.start(name)
    found = stack.wait(name, "redis_up", 1)
    assert "redis_memory_used_bytes" in found
    assert found["redis_memory_max_bytes"] > 0
    url = access.redis_url(stack.profile, stack.host, stack.secrets, "broker")
    with redis.Redis.from_url(url) as broker:
        broker.lpush("harvest", "one", "two", "three")
    assert (
        stack.wait(name, 'redis_key_size{db="db2",key="harvest"}')['redis_key_size{db="db2",key="harvest"}']
        == 3
    )


def test_node(stack: Stack) -> None:
    stack.start("node-exporter")
    found = stack.wait("node-exporter", "node_memory_MemAvailable_bytes")
    assert value(found, "node_filesystem_avail_bytes") is not None
    assert value(found, "node_filesystem_readonly") is not None


def test_exporters_are_up_before_what_they_watch(stack: Stack) -> None:
    """They are in the first layer: each has to serve, and say 0, while its server is not there."""
    stack.start("redis-cache-exporter")
    stack.wait("redis-cache-exporter", "redis_up", 0)


def test_nginx_and_the_probes_of_the_edge(stack: Stack) -> None:
    """The exporter waits for nginx and stays when nginx goes; the probe verifies name and authority."""
    stack.start("nginx-exporter")
    stack.start("blackbox-exporter")
    stack.start("edge")
    stack.wait("nginx-exporter", "nginx_up", 1)
    [probes] = [job for job in scrape_jobs(stack.profile) if job.name == "probe"]
    health = next(t for t in probes.targets if t.extra["check"] == "edge-health")
    path = f"/probe?module={probes.module}&target={health.extra['__param_target']}"
    found = stack.metrics("blackbox-exporter", path)
    assert found["probe_success"] == 1, stack.metrics("blackbox-exporter", f"{path}&debug=true")
    assert found["probe_ssl_earliest_cert_expiry"] > time.time() + 60 * 86400
    stack.stop("edge")
    stack.wait("nginx-exporter", "nginx_up", 0)
    assert stack.metrics("blackbox-exporter", path)["probe_success"] == 0


def test_the_probe_trusts_only_the_environments_authority(stack: Stack) -> None:
    if "edge" not in stack.children:
        stack.start("edge")
    if "blackbox-exporter" not in stack.children:
        stack.start("blackbox-exporter")
    stack.wait("blackbox-exporter", "blackbox_exporter_config_last_reload_successful", 1)
    authority = stack.host.paths.etc / "blackbox-exporter" / "ca.crt"
    right = authority.read_text()
    url = f"https://127.0.0.1:{stack.profile.local.port('edge')}/health"
    path = f"/probe?module=edge&target={url}"
    try:
        eventually(
            lambda: stack.metrics("blackbox-exporter", path)["probe_success"] == 1,
            10,
            lambda: stack.log("edge"),
        )
        # Read at every probe: another authority counts at once, without a restart.
        authority.write_text(tls.ensure(stack.host.paths.state / "other", "localhost").authority)
        assert stack.metrics("blackbox-exporter", path)["probe_success"] == 0
    finally:
        authority.write_text(right)
