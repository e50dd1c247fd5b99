"""Smaller commands over an environment: render, restart."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renecinfra import rendering
from renecinfra.errors import UsageError
from renecinfra.provision.session import Session
from renecinfra.rendering import FileChange


@dataclass(frozen=True, slots=True)
class RenderResult:
    """What rendering changed in the build directory, or would change."""

    environment: str
    directory: Path
    files: int
    changes: tuple[FileChange, ...]
    written: bool

    def document(self) -> dict[str, Any]:
        """The result for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "directory": str(self.directory),
            "files": self.files,
            "written": self.written,
            "changes": [{"path": c.path, "kind": c.kind, "diff": c.diff} for c in self.changes],
        }


def render(session: Session, *, write: bool) -> RenderResult:
    """Render the environment. Makes no secret: one that is not there yet counts as its first version.

    Raises:
        ProfileError: a template does not render, or to something that does not parse.
        ToolError: a binary that the configuration names is missing.
    """
    environment = session.environment
    bundle = environment.bundle(session.assumed_versions())
    directory = session.paths.build
    if write:
        session.paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        done = rendering.write(bundle, directory)
    else:
        done = rendering.changes(bundle, directory)
    return RenderResult(session.name, directory, len(bundle), tuple(done), write)


def restart(session: Session, service: str, argv: Sequence[str]) -> float:
    """Restart one service and wait for its health; returns the seconds that it took.

    Raises:
        UsageError: there is no such service.
        ToolError: it did not become healthy.
        LockedError: another run holds the environment.
    """
    require_service(session, service)
    started = time.monotonic()
    with (
        session.locked("restart", argv) as run,
        run.step(f"restart {service}"),
        session.reporter.step(f"Restarting {service}"),
    ):
        session.supervision.restart(service)
    return time.monotonic() - started


def require_service(session: Session, service: str) -> None:
    """Refuse a name that is no service of the environment.

    Raises:
        UsageError: naming those that are near, or all.
    """
    import difflib

    names = [known.name for known in session.environment.services]
    if service not in names:
        near = difflib.get_close_matches(service, names, n=3)
        raise UsageError(
            "service-unknown",
            f"{session.name} has no service {service}",
            hint=f"did you mean {' or '.join(near)}?" if near else f"services: {', '.join(names)}",
        )
