"""The facts of this machine that the local platform's definitions depend on. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from renecinfra.workspace import EnvironmentPaths, ServiceUser


@dataclass(frozen=True, slots=True)
class Host:
    """This machine, as far as it shapes what is rendered.

    ``binaries`` maps a program's plain name (``postgres``, ``pgbouncer``, ``redis-server``, ``nginx``,
    ``prometheus``, ``prometheus-alertmanager`` …) to its absolute path. ``memory`` is in bytes.
    ``python`` is an interpreter that the service user can execute and that has the ``services`` extra.
    """

    paths: EnvironmentPaths
    user: ServiceUser
    python: str
    binaries: Mapping[str, str]
    cores: int
    memory: int
    workspace: Path
