"""What was done to an environment, from its journal."""

from __future__ import annotations

from typing import Any

from renecinfra.journal import Journal, RunRecord
from renecinfra.workspace import EnvironmentPaths


def history(paths: EnvironmentPaths, limit: int) -> list[RunRecord]:
    """The newest runs first, at most ``limit``."""
    return Journal(paths.journal).runs()[::-1][:limit]


def result(run: RunRecord) -> str:
    """``ok``, ``running``, ``cut off``, or the exit code and the step that failed with its error's id.

    Whether a run of another machine still lives cannot be seen from here.
    """
    if run.exit_code is None:
        if not run.runner.here:
            return "running or cut off"
        return "running" if run.runner.alive else "cut off"
    if run.exit_code == 0:
        return "ok"
    failed = next((step for step in run.steps if step.state in ("failed", "interrupted")), None)
    return f"exit {run.exit_code}" + (f" in {failed.name}: {failed.error}" if failed is not None else "")


def document(run: RunRecord) -> dict[str, Any]:
    """A run for machines; documented in docs/reference/json.md."""
    return {
        "id": run.id,
        "command": run.command,
        "arguments": list(run.argv),
        "started": run.started.isoformat(),
        "seconds": run.seconds,
        "user": run.runner.user,
        "host": run.runner.host,
        "profile": run.profile,
        "exit_code": run.exit_code,
        "result": result(run),
        "steps": [
            {"name": step.name, "state": step.state, "seconds": step.seconds, "error": step.error}
            for step in run.steps
        ],
    }
