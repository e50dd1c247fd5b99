"""What `deploy` and `rollback` would do and have done, whatever the platform. Data only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Strategy = Literal["rolling", "blue-green"]


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What would be deployed: each workload's version before and after (an image; on local a directory).

    ``bake`` is how many seconds the new one is watched.
    """

    environment: str
    strategy: Strategy
    bake: float
    images: Mapping[str, tuple[str, str]]

    @property
    def empty(self) -> bool:
        """Whether all of it runs already."""
        return not self.images

    @property
    def migrates(self) -> bool:
        """Whether migrations of another version run first."""
        return "migrations" in self.images


@dataclass(frozen=True, slots=True)
class DeployResult:
    """How a deployment went; ``revision`` is what is current now."""

    plan: DeployPlan
    revision: int
    seconds: float

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.plan.environment,
            "strategy": self.plan.strategy,
            "changed": not self.plan.empty,
            "images": {
                name: {"before": before, "after": after} for name, (before, after) in self.plan.images.items()
            },
            "revision": self.revision,
            "seconds": round(self.seconds, 2),
        }


Confirm = Callable[[DeployPlan], None]
"""Shows a plan and asks; raises DeclinedError when the answer is no."""
