"""How a restore, an undo or a failover went, as one value. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from renecinfra.hooks.protocol import Check
from renecinfra.recovery.engine.checking import Finding, TableContent
from renecinfra.recovery.engine.state import RestoreState


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """How a restore went. ``held`` are the seconds for which writers waited, None where nothing was cut
    over.
    """

    state: RestoreState
    findings: tuple[Finding, ...]
    tables: tuple[TableContent, ...]
    held: float | None
    warnings: tuple[str, ...]
    checks: tuple[Check, ...]
    seconds: float

    def document(self) -> dict[str, Any]:
        """The result for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.state.environment,
            "id": self.state.id,
            "target": self.state.target,
            "last_commit": self.state.document()["expectation"]["last"],
            "timeline": self.state.end.timeline if self.state.end else None,
            "steps": dict(self.state.done),
            "findings": [one.document() for one in self.findings],
            "tables": [
                {"name": one.name, "rows": one.rows, "exact": one.exact, "latest": one.latest}
                for one in self.tables
            ],
            "writers_held_seconds": None if self.held is None else round(self.held, 3),
            "warnings": list(self.warnings),
            "checks": [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in self.checks],
            "undo": self.state.kept,
            "seconds": round(self.seconds, 2),
        }
