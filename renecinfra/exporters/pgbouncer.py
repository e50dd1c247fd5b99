"""PgBouncer's metrics for Prometheus, read from its admin console at every scrape.

Run by the services' python as ``python -m renecinfra.exporters.pgbouncer`` with EXPORTER_PORT,
PGBOUNCER_PORT, PGBOUNCER_USER and PGBOUNCER_PASSWORD in its environment; listens on 127.0.0.1 only. The
columns of SHOW POOLS and SHOW STATS_TOTALS are those of https://www.pgbouncer.org/usage.html (1.18 or later).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import psycopg
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg.rows import dict_row

EX_USAGE: Final = 64
_CONNECT_SECONDS: Final = 2
_MICROSECOND: Final = 1e-6

# Metric → (column, factor, help), by pool (database, user).
_POOL_GAUGES: Final = {
    "client_active": ("cl_active", 1.0, "Clients that have a server connection or need none now"),
    "client_waiting": ("cl_waiting", 1.0, "Clients that wait for a server connection"),
    "server_active": ("sv_active", 1.0, "Server connections in use by a client"),
    "server_idle": ("sv_idle", 1.0, "Server connections that are free"),
    "server_used": ("sv_used", 1.0, "Server connections idle for longer than server_check_delay"),
    "server_login": ("sv_login", 1.0, "Server connections that are logging in"),
}
# Metric → (column, factor, help), by database; PgBouncer counts times in microseconds.
_STATS_COUNTERS: Final = {
    "transactions": ("xact_count", 1.0, "Transactions pooled"),
    "queries": ("query_count", 1.0, "Queries pooled"),
    "received_bytes": ("bytes_received", 1.0, "Bytes that clients sent"),
    "sent_bytes": ("bytes_sent", 1.0, "Bytes sent to clients"),
    "transaction_seconds": ("xact_time", _MICROSECOND, "Time that clients spent in transactions"),
    "query_seconds": ("query_time", _MICROSECOND, "Time that queries took"),
    "wait_seconds": ("wait_time", _MICROSECOND, "Time that clients waited for a server connection"),
}

Row = Mapping[str, Any]


def pool_metrics(rows: Iterable[Row]) -> Iterator[GaugeMetricFamily]:
    """The gauges of SHOW POOLS, by database and user; the console's own pool is left out."""
    pools = [row for row in rows if row["database"] != "pgbouncer"]
    for name, (column, factor, text) in _POOL_GAUGES.items():
        yield _gauge(name, text, pools, lambda row, c=column, f=factor: float(row[c]) * f)
    text = "How long the oldest waiting client has waited"
    yield _gauge(
        "maxwait_seconds",
        text,
        pools,
        lambda row: float(row["maxwait"]) + float(row["maxwait_us"]) * _MICROSECOND,
    )


def _gauge(name: str, text: str, rows: Sequence[Row], value: Any) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(f"pgbouncer_pool_{name}", text, labels=["database", "user"])
    for row in rows:
        metric.add_metric([str(row["database"]), str(row["user"])], value(row))
    return metric


def stats_metrics(rows: Iterable[Row]) -> Iterator[CounterMetricFamily]:
    """The counters of SHOW STATS_TOTALS, by database."""
    databases = [row for row in rows if row["database"] != "pgbouncer"]
    for name, (column, factor, text) in _STATS_COUNTERS.items():
        metric = CounterMetricFamily(f"pgbouncer_{name}", text, labels=["database"])
        for row in databases:
            metric.add_metric([str(row["database"])], float(row[column]) * factor)
        yield metric


class PgBouncerCollector(Collector):
    """Asks the admin console afresh at each scrape; ``pgbouncer_up`` is 0 when it does not answer.

    The connection is kept between scrapes, because a login (SCRAM) costs more than the questions.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection[dict[str, Any]] | None = None
        self._lock = threading.Lock()
        self._error = ""

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The metrics as of now."""
        with self._lock:
            try:
                pools, stats = self._ask()
            except psycopg.Error as error:
                self.close()
                self._say(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
                yield GaugeMetricFamily("pgbouncer_up", "Whether PgBouncer answers", value=0)
                return
            self._say("")
        yield GaugeMetricFamily("pgbouncer_up", "Whether PgBouncer answers", value=1)
        yield from pool_metrics(pools)
        yield from stats_metrics(stats)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        kept = self._connection is not None
        try:
            return self._show()
        except psycopg.OperationalError:
            # A connection kept since before a restart of PgBouncer says nothing about the new one.
            if not kept:
                raise
            self.close()
            return self._show()

    def _show(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        if self._connection is None:
            # The console knows no transactions and no prepared statements.
            self._connection = psycopg.connect(
                self._conninfo, autocommit=True, prepare_threshold=None, row_factory=dict_row
            )
        connection = self._connection
        return (
            connection.execute("SHOW POOLS").fetchall(),
            connection.execute("SHOW STATS_TOTALS").fetchall(),
        )

    def _say(self, error: str) -> None:
        """One line in the log for each change, not one a scrape."""
        if error != self._error:
            print(error or "PgBouncer answers again", file=sys.stderr, flush=True)  # noqa: T201 - the log
            self._error = error


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM or SIGINT; 64 when the environment lacks a variable."""
    try:
        port = int(environ["EXPORTER_PORT"])
        conninfo = psycopg.conninfo.make_conninfo(
            host="127.0.0.1",
            port=int(environ["PGBOUNCER_PORT"]),
            user=environ["PGBOUNCER_USER"],
            password=environ["PGBOUNCER_PASSWORD"],
            dbname="pgbouncer",
            connect_timeout=_CONNECT_SECONDS,
            application_name="renecinfra-exporter",
        )
    except (KeyError, ValueError) as error:
        print(f"missing or wrong in the environment: {error}", file=sys.stderr)  # noqa: T201 - the log
        return EX_USAGE
    registry = CollectorRegistry()
    collector = PgBouncerCollector(conninfo)
    registry.register(collector)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    stop.wait()
    server.shutdown()
    server.server_close()
    thread.join()
    collector.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
