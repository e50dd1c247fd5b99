"""What `drift` finds, on any platform. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class DriftItem:
    """One thing that is not as it was left. ``who`` is who could have done it, and ``when``, where known."""

    layer: Literal["terraform", "file", "service", "rules", "object"]
    address: str
    seen: str
    who: str | None = None
    when: str | None = None

    def document(self) -> dict[str, Any]:
        """For machines; the schema is docs/reference/schemas/drift.json."""
        return {
            "layer": self.layer,
            "address": self.address,
            "seen": self.seen,
            "who": self.who,
            "when": self.when,
        }


@dataclass(frozen=True, slots=True)
class Drift:
    """All of it; ``skipped`` is what could not be looked at, with the reason."""

    environment: str
    items: tuple[DriftItem, ...]
    skipped: dict[str, str]

    def document(self) -> dict[str, Any]:
        """For machines; the schema is docs/reference/schemas/drift.json."""
        return {
            "environment": self.environment,
            "drift": bool(self.items),
            "items": [item.document() for item in self.items],
            "skipped": self.skipped,
        }
