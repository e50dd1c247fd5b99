"""Workflows for the people who use renecinfra, written to their repository."""

from __future__ import annotations

from pathlib import Path

from renecinfra.errors import ToolError
from renecinfra.workspace import Workspace


def write_workflows(workspace: Workspace, *, force: bool) -> list[Path]:
    """Write each workflow that is not there; returns those that were written, below the workspace.

    Raises:
        ToolError: one is there and differs, and ``force`` is not given; nothing is written then.
    """
    source, target = workspace.templates / "ci", workspace.root / ".github" / "workflows"
    wanted = {path.name: path.read_text(encoding="utf-8") for path in sorted(source.glob("*.yml"))}
    differing = [
        name
        for name, text in wanted.items()
        if (target / name).exists() and (target / name).read_text(encoding="utf-8") != text
    ]
    if differing and not force:
        raise ToolError(
            "workflows-differ",
            f"{', '.join(differing)} in {target} would be overwritten",
            hint="compare them, then give --force, or take them away",
        )
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in wanted.items():
        path = target / name
        if not path.exists() or name in differing:
            path.write_text(text, encoding="utf-8")
            written.append(path.relative_to(workspace.root))
    return written
