"""How the planning of one environment went, among others: a review with what it is of, or an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from renecinfra.errors import ExitCode
from renecinfra.review.change import Review
from renecinfra.review.grades import Grade


@dataclass(frozen=True, slots=True)
class Outcome:
    """One environment's plan, or why there is none.

    ``facts`` are what the plan is of, by name: the profile's digest, the commit, versions. ``error`` is an
    error as `--json` prints it. ``empty`` says that there is nothing to do.
    """

    environment: str
    review: Review | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    empty: bool = False

    @classmethod
    def from_document(cls, environment: str, document: Mapping[str, Any]) -> Outcome:
        """What ``plan ENV --json`` printed, of a plan or of an error."""
        if "error" in document:
            return cls(environment, error=document["error"])
        return cls(
            environment,
            Review.from_document(document),
            facts(document),
            empty=not document["changes"],
        )

    def document(self) -> dict[str, Any]:
        """For machines; the schema is docs/reference/schemas/plans.json."""
        return {
            "environment": self.environment,
            "changes": not self.empty and self.error is None,
            "facts": dict(self.facts),
            "error": self.error,
            **(self.review or Review(self.environment, ())).document(),
        }

    @property
    def exit_code(self) -> int:
        """As ``plan --detailed-exitcode`` has it: 0 nothing to do, 1 failed, 2 changes."""
        if self.error is not None:
            return ExitCode.FAILURE
        return ExitCode.OK if self.empty else ExitCode.CHANGES

    @property
    def summary(self) -> str:
        """In a few words: ``2 stateful, 1 safe``, ``nothing to change``, or what failed."""
        if self.error is not None:
            return f"failed: {self.error['message']}"
        if self.empty or self.review is None:
            return "nothing to change"
        counts = self.review.counts
        words = [f"{counts[grade]} {grade.word}" for grade in reversed(Grade) if counts[grade]]
        return ", ".join(words) or "changes that no layer names"


def facts(document: Mapping[str, Any]) -> dict[str, str]:
    """What a plan is of, from its document."""
    found = {"profile": str(document["profile"])[:12]}
    if document.get("commit"):
        found["commit"] = str(document["commit"])[:12]
    return found | {name: str(version) for name, version in document["versions"].items()}


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """One code for several plans: 1 where any failed, else 2 where any has changes, else 0."""
    codes = {outcome.exit_code for outcome in outcomes}
    return next((code for code in (ExitCode.FAILURE, ExitCode.CHANGES) if code in codes), ExitCode.OK)
