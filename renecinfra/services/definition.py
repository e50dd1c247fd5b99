"""What a supervised local process is: data only, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from renecinfra.rendering import RenderedFile

_EMPTY: Mapping[str, str] = MappingProxyType({})
_NO_FILES: Mapping[str, RenderedFile] = MappingProxyType({})


class Layer(StrEnum):
    """When a service starts: each layer after the one before is healthy, and stops in the other order.

    ``REPLICATION`` starts with ``DATABASE``, and nothing waits for it.
    """

    SECRETS = "secrets"  # OpenBao, what issues certificates from it, and what is made meanwhile
    FOUNDATION = "foundation"  # primary, both Redis, the fake site, Prometheus, Alertmanager, exporters
    REPLICATION = "replication"  # what copies the primary: replica, WAL receiver, backups
    DATABASE = "database"  # pooler
    MIGRATION = "migration"
    WORKLOAD = "workload"  # api, ui, worker, beat
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How to tell that a service serves, not only runs.

    ``http``: a GET of ``http(s)://127.0.0.1:port/path`` answers 2xx (``status`` where another is right).
    ``postgresql``: accepts connections and is primary or standby as ``role`` says. ``redis``: answers PONG
    to an authenticated PING. ``tcp``: accepts a connection. ``running``: the supervisor says RUNNING.

    ``scheme`` is for ``http``: over ``https`` the certificate is not verified, because this asks whether the
    service serves, and only of 127.0.0.1; that the certificate is right is for the verification to see.

    ``postgresql`` runs the psql at ``program`` (an absolute path) as the service user, as ``user`` on
    ``database``, over the unix socket in directory ``socket`` or, without one, over TCP; ``password_file`` is
    then a passfile (lines ``host:port:database:user:password``). With ``role`` the server has to say so
    itself (``pg_is_in_recovery()``); without, answering ``SELECT 1`` will do (so a pooler can be asked, too).
    ``redis`` authenticates as ``user`` when ``password_file`` is given, which holds the password alone.
    ``password_file`` is below ``etc/<service>/`` and one of the secret files. With ``ca_file`` (absolute) the
    server is asked over TLS, and has to prove with a certificate of that authority who it is, before it is
    told a password.
    """

    kind: Literal["http", "postgresql", "redis", "tcp", "running"]
    port: int = 0
    path: str = "/"
    status: int = 200
    role: Literal["primary", "replica", ""] = ""
    scheme: Literal["http", "https"] = "http"
    program: str = ""
    socket: str = ""
    user: str = ""
    database: str = ""
    password_file: str = ""
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A process or job of the local platform.

    ``files`` are its own configuration (below ``etc/<name>/``): a change restarts it. ``reload_files`` are
    applied without a restart, by ``reload``. ``env_files`` name 0600 files (below ``etc/<name>/``) that the
    launcher reads into the environment; ``secrets`` names what those files hold, so that a new version of
    one restarts the service. ``reload_secrets`` are in secret files that ``reload`` has it read again.
    """

    name: str
    layer: Layer
    command: tuple[str, ...]
    health: HealthCheck
    kind: Literal["process", "job"] = "process"
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    env_files: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    reload_secrets: tuple[str, ...] = ()
    files: Mapping[str, RenderedFile] = field(default_factory=lambda: _NO_FILES)
    reload_files: Mapping[str, RenderedFile] = field(default_factory=lambda: _NO_FILES)
    reload: Literal["hup", "none"] = "none"
    port: int | None = None
    package: str | None = None
    stop_signal: Literal["TERM", "INT", "QUIT"] = "TERM"
    stop_seconds: int = 10
    start_seconds: int = 30
