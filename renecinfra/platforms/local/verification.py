"""Whether an environment serves: asked as a client would, through the edge, not from a process list."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from renecinfra.hooks.protocol import Check
from renecinfra.platforms.local.access import connect
from renecinfra.platforms.local.environment import LocalEnvironment
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.supervision import Supervision

_HTTP_TIMEOUT: Final = 5.0
STANDARDS_PATH: Final = "/api/v1/ec-standards"


def verify(
    environment: LocalEnvironment,
    supervision: Supervision,
    secrets: ResolvedSecrets,
    *,
    services: bool = True,
) -> list[Check]:
    """One look: every service's own health, a real request through the edge, and replication.

    ``services`` is False where each service's own health was asked a moment ago.
    """
    checks = [*(_services(environment, supervision) if services else ()), *_edge(environment)]
    if environment.profile.database.replicas:
        checks.append(_replication(environment, secrets))
    return checks


def _services(environment: LocalEnvironment, supervision: Supervision) -> list[Check]:
    health = supervision.health_all([service.name for service in environment.services])
    wrong = [Check(name, check.ok, check.detail) for name, check in health.items() if not check.ok]
    healthy = len(health) - len(wrong)
    return [*wrong, Check("services", not wrong, f"{healthy} of {len(health)} answer their health check")]


def edge_url(environment: LocalEnvironment, path: str = "/") -> str:
    """An address of the environment as people type it."""
    return f"https://{environment.profile.edge.host}:{environment.profile.local.port('edge')}{path}"


def _edge(environment: LocalEnvironment) -> list[Check]:
    api = environment.profile.workloads.api
    if api.command is not None:
        return [_get(environment, api.health_path, None)] if api.health_path else []
    return [_get(environment, "/health/ready", None), _get(environment, STANDARDS_PATH, "items")]


def _get(environment: LocalEnvironment, path: str, list_key: str | None) -> Check:
    """One GET over TLS that trusts the environment's CA alone, for the edge's own host name."""
    import urllib3

    url = edge_url(environment, path)
    pool = urllib3.HTTPSConnectionPool(
        "127.0.0.1",
        environment.profile.local.port("edge"),
        ca_certs=str(environment.host.paths.ca),
        assert_hostname=environment.profile.edge.host,
        server_hostname=environment.profile.edge.host,
        timeout=_HTTP_TIMEOUT,
        retries=False,
    )
    started = time.monotonic()
    try:
        headers = {"Host": f"{environment.profile.edge.host}:{pool.port}"}
        response = pool.request("GET", path, headers=headers)
    except urllib3.exceptions.HTTPError as error:
        return Check(url, False, str(error))
    finally:
        pool.close()
    milliseconds = (time.monotonic() - started) * 1000
    if response.status != 200:
        return Check(url, False, f"answered {response.status}")
    if list_key is not None and not _has_items(response.data, list_key):
        return Check(url, False, "answered 200 without a single row")
    return Check(url, True, f"200 in {milliseconds:.0f} ms")


def _has_items(body: bytes, key: str) -> bool:
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and bool(answer.get(key))


def _replication(environment: LocalEnvironment, secrets: ResolvedSecrets) -> Check:
    """Whether every replica streams."""
    import psycopg

    profile, host = environment.profile, environment.host
    wanted = profile.database.replicas
    query = (
        "select count(*) from pg_stat_replication"
        " where state = 'streaming' and application_name <> 'wal_receiver'"
    )
    try:
        with connect(profile, host, secrets, "primary", seconds=5) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Check("replication", False, lines[0])
    streaming = row[0] if row else 0
    return Check("replication", streaming >= wanted, f"{streaming} of {wanted} stream")
