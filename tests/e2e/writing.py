"""A writer that knows exactly which rows were acknowledged when: numbered rows, one commit each."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from renecinfra.platforms.local import access
from renecinfra.provision.session import open_session
from renecinfra.reporting import SilentReporter
from renecinfra.workspace import Workspace

TABLE = "acknowledged"


def dsn(cli, target: str = "pooler", role: str = "application") -> dict[str, Any]:
    """How the application reaches its database in a test's environment; holds a password."""
    session = open_session(Workspace(cli.workspace), cli.environment, SilentReporter())
    found = access.database_dsn(
        session.profile, session.environment.host, session.existing_secrets(), target, role=role
    )
    return {**found, "connect_timeout": 5, "prepare_threshold": None}


@dataclass
class Writer:
    """Commits numbered rows at a rate; goes on after errors, with the number that was not acknowledged."""

    where: dict[str, Any] = field(repr=False)
    rate: float = 200
    acknowledged: list[int] = field(default_factory=list, repr=False)
    doubtful: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._between = threading.Lock()
        self._next = 1
        self._thread = threading.Thread(target=self._run, daemon=True)

    def prepare(self) -> None:
        with psycopg.connect(**self.where, autocommit=True) as connection:
            connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
            connection.execute(
                f"CREATE TABLE {TABLE} (n bigint PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())"
            )

    def start(self) -> Writer:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def moment(self) -> tuple[datetime, list[int]]:
        """A moment between two commits, and what had been acknowledged by then."""
        with self._between:
            time.sleep(0.002)
            at = datetime.now(UTC)
            time.sleep(0.002)
            return at, list(self.acknowledged)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(**self.where, autocommit=True) as connection:
                    while not self._stop.is_set():
                        self._write(connection)
            except psycopg.Error as error:
                self.errors.append(str(error).strip().splitlines()[0] if str(error).strip() else "?")
                self._stop.wait(0.05)

    def _write(self, connection: psycopg.Connection) -> None:
        begun = time.monotonic()
        with self._between:
            number = self._next
            self._next += 1
            try:
                connection.execute(f"INSERT INTO {TABLE} (n) VALUES (%s)", (number,))
            except psycopg.Error:
                self.doubtful.append(number)
                raise
            self.acknowledged.append(number)
        took = time.monotonic() - begun
        self.waits.append(took)
        self._stop.wait(max(0.0, 1 / self.rate - took))


def rows(where: dict[str, Any], seconds: float = 20) -> list[int]:
    """What is in the table now; asked for some seconds, because a pooler may still have to connect."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with psycopg.connect(**where, autocommit=True) as connection:
                return [row[0] for row in connection.execute(f"SELECT n FROM {TABLE} ORDER BY n").fetchall()]
        except psycopg.Error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def require_well(cli, seconds: float = 45) -> None:
    """The environment is as it should be; what is seen of backups is looked at again twice a minute only."""
    deadline = time.monotonic() + seconds
    while not (seen := cli.status())["ok"]:
        bad = [one for one in seen["services"] if one["state"] not in ("healthy", "done")]
        assert time.monotonic() < deadline, (seen.get("problems"), bad, seen.get("recovery"))
        time.sleep(1)
