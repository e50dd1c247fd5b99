"""`bootstrap`: the place of Terraform's state, shown first and made then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from renecinfra.errors import ToolError
from renecinfra.platforms.aws import bootstrap as place
from renecinfra.platforms.aws.bootstrap import Step
from renecinfra.provision.aws.session import AwsSession


@dataclass(frozen=True, slots=True)
class BootstrapPlan:
    """What there is of the state's place, and what would be made."""

    environment: str
    account: str
    steps: tuple[Step, ...]

    @property
    def pending(self) -> tuple[Step, ...]:
        """What is not there, or not as it should be."""
        return tuple(step for step in self.steps if not step.done)

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "account": self.account,
            "steps": [{"what": step.what, "done": step.done} for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """How a `bootstrap` went."""

    plan: BootstrapPlan
    made: int
    seconds: float

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {**self.plan.document(), "made": self.made, "seconds": round(self.seconds, 2)}


def look(session: AwsSession) -> BootstrapPlan:
    """What there is and what is missing; changes nothing.

    Raises:
        ToolError: AWS cannot be asked, or the bucket's name is in use elsewhere.
    """
    with session.reporter.step("Looking at the state's place"):
        steps = place.steps(session.profile, session.aws)
    return BootstrapPlan(session.name, session.platform.account, tuple(steps))


def bootstrap(
    session: AwsSession, confirm: Callable[[BootstrapPlan], None], argv: Sequence[str]
) -> BootstrapResult:
    """Make the state's bucket, its key, its copy in the other region, and the version's stamp.

    Raises:
        DeclinedError: the confirmation was refused; nothing has changed.
        ToolError: AWS refuses; what is made stays, and the next run goes on.
    """
    started = time.monotonic()
    with session.locked("bootstrap", argv) as run:
        plan = look(session)
        if plan.pending:
            confirm(plan)
            with run.step("bootstrap"):
                make(session, plan)
        session.state.require_version()
        session.state.stamp()
        return BootstrapResult(plan, len(plan.pending), time.monotonic() - started)


def make(session: AwsSession, plan: BootstrapPlan) -> None:
    """Make what is missing, in order.

    Raises:
        ToolError: AWS refuses.
    """
    with session.reporter.progress("Making the state's place", len(plan.pending)) as progress:
        for step in plan.pending:
            progress.advance(0, step.what)
            step.make()
            progress.advance(1, step.what)


def require(session: AwsSession) -> None:
    """Stop where the state has no place yet, and where a newer version has worked.

    Raises:
        ToolError: ``aws-not-bootstrapped`` or ``aws-state-newer``.
    """
    if not place.is_bootstrapped(session.profile, session.aws):
        raise ToolError(
            "aws-not-bootstrapped",
            f"the bucket of {session.name}'s Terraform state is not there",
            hint=f"run `renecinfra bootstrap {session.name}`, which says first what it makes",
        )
    session.state.require_version()
