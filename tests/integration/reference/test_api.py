"""The API against real backends, and without them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import redis

from .conftest import API_KEY, Workload, get, wait_until

pytestmark = pytest.mark.integration


def test_lists_gets_and_searches_the_register(workload: Workload) -> None:
    api = f"{workload.api()}/api/v1"
    status, text, headers = get(f"{api}/ec-standards?page=2&page_size=10")
    page = json.loads(text)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert (page["total"], page["page"], page["page_size"]) == (24, 2, 10)
    assert [item["ec_clave"] for item in page["items"]] == [f"EC{n:04d}" for n in range(11, 21)]

    one = json.loads(get(f"{api}/ec-standards/EC0011")[1])
    assert one == page["items"][0]
    assert get(f"{api}/ec-standards/EC9999")[0] == 404
    assert get(f"{api}/certificadores/ECE9999")[0] == 404
    assert get(f"{api}/centros/CE00001")[0] == 200

    found = json.loads(get(f"{api}/ec-standards?page_size=100&q={quote('GEOGRÁFICA')}")[1])
    titles = [
        row[0] for row in workload.query("SELECT titulo FROM ec_standards_v2 WHERE titulo ~ 'geográfica'")
    ]
    assert sorted(item["titulo"] for item in found["items"]) == sorted(titles) != []
    assert json.loads(get(f"{api}/ec-standards?q=%25")[1])["total"] == 0  # a wildcard is a character

    ece = json.loads(get(f"{api}/certificadores?tipo=ECE&page_size=100")[1])
    assert {item["tipo"] for item in ece["items"]} == {"ECE"}
    cert_id, ec_clave = workload.query("SELECT cert_id, ec_clave FROM ece_ec LIMIT 1")[0]
    certifiers = json.loads(get(f"{api}/ec-standards/{ec_clave}/certificadores?page_size=100")[1])
    assert cert_id in [item["cert_id"] for item in certifiers["items"]]
    assert get(f"{api}/ec-standards/EC9999/certificadores")[0] == 404
    assert json.loads(get(f"{api}/harvest/runs")[1]) == {"items": []}


@pytest.mark.parametrize(
    "query", ["page=0", "page_size=101", "page=x", "nivel=6", "q=", "vigente=tal-vez", "q=" + "x" * 201]
)
def test_refuses_what_it_cannot_list(workload: Workload, query: str) -> None:
    assert get(f"{workload.api()}/api/v1/ec-standards?{query}")[0] == 422


def test_reads_are_quick(workload: Workload) -> None:
    url = f"{workload.api()}/api/v1/ec-standards?page_size=20"
    times = []
    for number in range(40):
        start = time.perf_counter()
        assert get(f"{url}&page={1 + number % 3}")[0] == 200
        times.append(time.perf_counter() - start)
    assert sorted(times)[20] < 0.01


def test_answers_match_the_openapi_document(workload: Workload) -> None:
    from jsonschema import Draft202012Validator

    url = workload.api()
    document = json.loads(get(f"{url}/openapi.json")[1])
    assert "/metrics" not in document["paths"]
    for path in ("/api/v1/ec-standards", "/api/v1/certificadores", "/api/v1/centros", "/api/v1/harvest/runs"):
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(
            json.loads(get(url + path)[1])
        )


def test_ready_tells_which_backend_is_lost(workload: Workload, postgresql: str) -> None:
    url = workload.api()
    wait_until(lambda: get(f"{url}/health/ready")[0] == 200)
    assert json.loads(get(f"{url}/health/ready")[1])["checks"] == {"postgresql": "ok", "redis": "ok"}

    workload.broker.stop()
    status, text, _ = get(f"{url}/health/ready")
    checks = json.loads(text)["checks"]
    assert (status, checks["postgresql"]) == (503, "ok")
    assert checks["redis"].startswith("Redis")
    assert get(f"{url}/health")[0] == 200
    assert get(f"{url}/api/v1/centros")[0] == 200  # the cache is away, the register is not

    workload.broker.start()
    wait_until(lambda: get(f"{url}/health/ready")[0] == 200, 5)


def test_a_lost_redis_user_is_not_ready(workload: Workload) -> None:
    """A wrong password must not count as an answer."""
    url = workload.api()
    wait_until(lambda: get(f"{url}/health/ready")[0] == 200)
    with redis.Redis.from_url(workload.broker.url) as connection:
        connection.acl_setuser("other", enabled=True, nopass=True, keys="*", commands=["+@all"])
        connection.execute_command("ACL", "SETUSER", "default", "off")
    other = redis.Redis.from_url(workload.broker.url, username="other", password="x")
    other.client_kill_filter(_type="normal", skipme=True)
    other.close()
    status, text, _ = get(f"{url}/health/ready")
    checks = json.loads(text)["checks"]
    assert status == 503 and checks["postgresql"] == "ok" != checks["redis"]


def test_a_frozen_database_is_an_answer_and_not_a_hang(workload: Workload) -> None:
    url = workload.api()
    wait_until(lambda: get(f"{url}/health/ready")[0] == 200)
    backends = [
        _postmaster(workload),
        *(row[0] for row in workload.query("SELECT pid FROM pg_stat_activity")),
    ]
    for pid in backends:
        _signal(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        status, _, headers = get(f"{url}/api/v1/centros?page=2")
        assert (status, headers["retry-after"]) == (503, "1")
        assert time.monotonic() - start < 4
        assert get(f"{url}/health/ready")[0] == 503
        start = time.monotonic()
        assert get(f"{url}/health/live")[0] == 200
        assert time.monotonic() - start < 0.5
    finally:
        for pid in reversed(backends):
            _signal(pid, signal.SIGCONT)
    wait_until(lambda: get(f"{url}/api/v1/centros?page=2")[0] == 200, 10)


def _postmaster(workload: Workload) -> int:
    [(directory,)] = workload.query("SHOW data_directory")
    return int(Path(directory, "postmaster.pid").read_text(encoding="utf-8").split()[0])


def _signal(pid: int, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, which)


def test_cut_connections_are_made_again_within_the_request(workload: Workload) -> None:
    url = workload.api()
    for page in range(1, 4):
        assert get(f"{url}/api/v1/centros?page={page}")[0] == 200
    workload.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ''"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    for page in range(4, 8):
        assert get(f"{url}/api/v1/centros?page={page}")[0] == 200


def test_cached_answers_end_with_the_data_they_were_made_from(workload: Workload) -> None:
    url = f"{workload.api()}/api/v1/ec-standards?page_size=1"
    first = get(url)[1]
    workload.query("UPDATE ec_standards_v2 SET titulo = 'Otro' WHERE ec_clave = 'EC0001' RETURNING 1")
    assert get(url)[1] == first  # from the cache
    with redis.Redis.from_url(workload.broker.url) as connection:
        assert 0 < connection.ttl(next(connection.scan_iter("cache:api:*"))) <= 3600
        connection.set("cache:version", "7")
    assert json.loads(get(url)[1])["items"][0]["titulo"] == "Otro"


def test_a_frozen_cache_slows_one_answer_and_not_the_next(workload: Workload) -> None:
    url = f"{workload.api()}/api/v1/centros?page_size=5"
    assert get(url)[0] == 200
    assert workload.broker.process is not None
    workload.broker.process.send_signal(signal.SIGSTOP)
    try:
        times = []
        for page in range(2, 5):
            start = time.monotonic()
            assert get(f"{url}&page={page}")[0] == 200
            times.append(time.monotonic() - start)
        assert times[0] < 1.5
        assert max(times[1:]) < 0.3
    finally:
        workload.broker.process.send_signal(signal.SIGCONT)


def test_only_a_key_starts_a_harvest(workload: Workload) -> None:
    url = f"{workload.api()}/api/v1/harvest/runs"
    for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}):
        assert get(url, headers, "POST")[0] == 401
    status, text, _ = get(url, {"X-API-Key": API_KEY}, "POST")
    assert status == 202 and json.loads(text)["task_id"]
    with redis.Redis.from_url(workload.broker.url) as connection:
        assert connection.llen("harvest") == 1
    workload.broker.stop()
    assert get(url, {"X-API-Key": API_KEY}, "POST")[0] == 503


def test_metrics_count_routes_and_not_paths(workload: Workload) -> None:
    url = workload.api()
    for path in ("/api/v1/centros/CE00001", "/api/v1/centros/CE00002", "/made-up/1", "/made-up/2"):
        get(url + path)
    lines = get(f"{url}/metrics")[1].splitlines()
    [line] = [line for line in lines if 'endpoint="/api/v1/centros/{centro_id}"' in line and "_total" in line]
    assert line.startswith("renec_api_requests_total{") and line.endswith(" 2.0")
    assert any('endpoint="unmatched"' in line and line.endswith(" 2.0") for line in lines)
    for name in (
        "renec_api_request_duration_seconds_bucket",
        "renec_db_query_duration_seconds_count",
        "renec_db_connection_pool_size",
        "renec_api_cache_misses_total",
    ):
        assert any(line.startswith(name) for line in lines), name


def test_migrating_again_does_nothing_and_a_changed_step_is_refused(workload: Workload) -> None:
    start = time.monotonic()
    workload.migrate()
    assert time.monotonic() - start < 2
    assert workload.processes.log().rstrip().endswith("the schema is current")
    workload.query("UPDATE schema_migrations SET checksum = 'x' WHERE version = 2 RETURNING 1")
    job = workload.processes.python("renecinfra.reference.migrate", environment=workload.environment)
    assert job.wait(timeout=30) == 1
    assert "0002_harvest has changed" in workload.processes.log()


def test_search_has_an_index(workload: Workload) -> None:
    with psycopg.connect(workload.database) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT 1 FROM ec_standards_v2 WHERE titulo ILIKE '%solar%'"
        ).fetchall()
    assert "ec_standards_v2_search" in str(plan)
