"""What `drill` shows where a cloud or an operator restores: the same for each of them. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from renecinfra.recovery.engine.checking import Finding


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A restore that was tried out.

    ``seconds`` is until what was restored could be used, ``behind`` those from
    the restored moment to the present, None where nobody says.
    """

    environment: str
    target: str
    seconds: float
    behind: float | None
    findings: tuple[Finding, ...]

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "ok": True,
            "target": self.target,
            "rto_seconds": round(self.seconds, 1),
            "rpo_seconds": None if self.behind is None else round(self.behind, 1),
            "findings": [one.document() for one in self.findings],
        }


def promised(seconds: float, rto: float) -> Finding:
    """Whether a rehearsal took no longer than ``backups.rto``, both in seconds."""
    return Finding("RTO", seconds <= rto, f"{seconds:.0f} s of {rto:.0f} s")
