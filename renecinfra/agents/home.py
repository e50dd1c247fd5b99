"""What the agents know of an environment: its home, and its services' manifests. Written at install."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple


class AgentError(Exception):
    """Something that the agents tell people in one message; the command exits 1."""


class Home(NamedTuple):
    """An environment's home. ``identifier`` is what a supervisord of today's configuration calls itself."""

    path: Path
    run: Path
    uid: int
    gid: int
    python: str
    identifier: str

    def log(self, service: str) -> Path:
        """The service's log file."""
        return self.path / "log" / f"{service}.log"


class Manifest(NamedTuple):
    """How one service is started, watched and stopped; ``etc/<name>/service.json``."""

    name: str
    layer: str
    kind: str
    command: list[str]
    directory: str
    environment: dict[str, str]
    env_files: list[str]
    health: dict[str, Any]
    reload_digest: str
    stop_signal: str
    stop_seconds: float
    start_seconds: float


def load_home(path: Path) -> Home:
    """The home that was installed at ``path``.

    Raises:
        AgentError: nothing was.
    """
    data = _load(path / "etc" / "environment.json", "the environment is not installed")
    return Home(path, Path(data["run"]), data["uid"], data["gid"], data["python"], data["identifier"])


def load_manifest(home: Path, service: str) -> Manifest:
    """One service's manifest.

    Raises:
        AgentError: there is no such service.
    """
    data = _load(home / "etc" / service / "service.json", f"there is no service {service}")
    return Manifest(**data)


def manifests(home: Path) -> list[Manifest]:
    """Every installed service's manifest, by name."""
    return [load_manifest(home, path.parent.name) for path in sorted(home.glob("etc/*/service.json"))]


def _load(path: Path, otherwise: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AgentError(f"{otherwise}: no {path}") from None
    except (OSError, ValueError) as error:
        raise AgentError(f"cannot read {path}: {error}") from None
    return data


def read_env_file(path: Path) -> dict[str, str]:
    """The variables in a file of ``KEY=VALUE`` lines; a value in double quotes is JSON.

    Raises:
        AgentError: the file cannot be read, others may read it, or a line is not of that form (the message
            names the line, and never shows it).
    """
    try:
        if path.stat().st_mode & 0o077:
            raise AgentError(f"{path} can be read by others: its mode must be 0600")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise AgentError(f"cannot read {path}: {os.strerror(error.errno or 0)}") from None
    variables = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.isidentifier():
            raise AgentError(f"{path}:{number}: not KEY=VALUE")
        variables[key] = _value(value, f"{path}:{number}")
    return variables


def _value(value: str, place: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        decoded = json.loads(value)
    except ValueError:
        raise AgentError(f"{place}: the quoted value is not JSON") from None
    return str(decoded)
