"""Which version of its program a service runs."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from renecinfra import __version__, process
from renecinfra.errors import RenecError
from renecinfra.platforms.local.host import Host
from renecinfra.rendering import write_atomically
from renecinfra.services.definition import Service

_NUMBER: Final = re.compile(r"(\d+\.\d+(?:\.\d+)*)")
# What each service's program is, where it is not a program of ours.
_PROGRAMS: Final = {
    "postgresql-primary": "postgres",
    "postgresql-replica": "postgres",
    "pgbouncer": "pgbouncer",
    "redis-broker": "redis-server",
    "redis-cache": "redis-server",
    "edge": "nginx",
    "backups": "pgbackrest",
    "wal-receiver": "postgres",
    "openbao": "bao",
    "prometheus": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "node-exporter": "prometheus-node-exporter",
    "blackbox-exporter": "prometheus-blackbox-exporter",
    "nginx-exporter": "prometheus-nginx-exporter",
    "postgresql-primary-exporter": "prometheus-postgres-exporter",
    "postgresql-replica-exporter": "prometheus-postgres-exporter",
    "redis-broker-exporter": "prometheus-redis-exporter",
    "redis-cache-exporter": "prometheus-redis-exporter",
}
_VERSION_FLAG: Final = {"nginx": "-v", "pgbackrest": "version"}


class Versions:
    """Versions of the services' programs, asked once per binary and remembered until the file changes."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cache = host.paths.state / "versions.json"

    def of(self, service: Service) -> str | None:
        """The version of what ``service`` runs; renecinfra's own for what is part of it, None if unknown."""
        program = _PROGRAMS.get(service.name)
        if program is not None:
            return self._known.get(program)
        kind = service.name.rstrip("-0123456789")
        if kind in ("worker", "beat") and "celery" in " ".join(service.command):
            return _distribution("celery")
        return __version__ if any("renecinfra" in word for word in service.command) else None

    @cached_property
    def _known(self) -> dict[str, str]:
        stamps = {name: self._stamp(name) for name in sorted(set(_PROGRAMS.values()))}
        cached = self._read()
        stale = [name for name, stamp in stamps.items() if cached.get(name, ["", ""])[0] != stamp]
        if stale:
            with ThreadPoolExecutor(4) as pool:
                for name, found in zip(stale, pool.map(self._ask, stale), strict=True):
                    cached[name] = [stamps[name], found]
            if self._cache.parent.is_dir():
                write_atomically(self._cache, json.dumps(cached, sort_keys=True), 0o600)
        return {name: entry[1] for name, entry in cached.items() if entry[1]}

    def _stamp(self, name: str) -> str:
        path = self._host.binaries.get(name)
        if path is None:
            return ""
        status = Path(path).stat()
        return f"{path}:{status.st_mtime_ns}:{status.st_size}"

    def _ask(self, name: str) -> str:
        path = self._host.binaries.get(name)
        if path is None:
            return ""
        try:
            done = process.run([path, _VERSION_FLAG.get(name, "--version")], check=False, timeout=10)
        except RenecError:
            return ""
        match = _NUMBER.search(done.stdout + done.stderr)
        return match[1] if match else ""

    def _read(self) -> dict[str, list[str]]:
        try:
            cached = json.loads(self._cache.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cached if isinstance(cached, dict) else {}


def _distribution(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
