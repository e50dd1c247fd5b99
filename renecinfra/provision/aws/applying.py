"""Applying a confirmed plan, also when AWS fails for a while: what was confirmed, and no more."""

from __future__ import annotations

import time
from pathlib import Path

from renecinfra.errors import TerraformError
from renecinfra.platforms.aws import transient
from renecinfra.provision.aws.planning import plan_stack
from renecinfra.provision.aws.session import AwsSession
from renecinfra.provision.telling import tell
from renecinfra.sensitive import Secret
from renecinfra.terraform.plan import Plan


def apply(
    session: AwsSession,
    confirmed: Plan,
    plan_file: Path,
    password: Secret | None,
    *,
    destroy: bool = False,
    targets: tuple[str, ...] = (),
    title: str = "Applying",
) -> None:
    """Apply a plan; go on with what is left of it after a failure that goes away by itself.

    A plan that was applied in part is not good any more, so that the rest is planned anew. It is
    applied if it does nothing that was not confirmed.

    Raises:
        TerraformError: it failed for good; or ``aws-plan-changed``, where the rest is something else.
    """
    plan, pauses = confirmed, list(transient.PAUSES)
    while True:
        try:
            _run(session, plan, plan_file, password, title)
            return
        except TerraformError as error:
            why = transient.reason(error)
            if why is None or not pauses:
                raise
            pause = pauses.pop(0)
            session.reporter.warn(f"{error.message}: {why}; trying again in {pause:g} s")
        finally:
            plan_file.unlink(missing_ok=True)
        time.sleep(pause)
        plan = plan_stack(session, plan_file, password, destroy=destroy, targets=targets)
        if not plan.pending:
            plan_file.unlink(missing_ok=True)
            return
        _require_rest(plan, confirmed, plan_file)


def _run(session: AwsSession, plan: Plan, plan_file: Path, password: Secret | None, title: str) -> None:
    with session.reporter.progress(title, len(plan.pending)) as progress:
        session.terraform(password).apply(plan_file, on_event=lambda event: tell(progress, event))


def _require_rest(rest: Plan, confirmed: Plan, plan_file: Path) -> None:
    known = {change.address: change.action for change in confirmed.pending}
    # What was being replaced may have lost its old half already; what failed half-made is replaced.
    allowed = {"replace": ("create", "replace"), "create": ("create", "replace")}
    strange = [
        change
        for change in rest.pending
        if change.action not in allowed.get(known.get(change.address, ""), (known.get(change.address),))
    ]
    if strange:
        plan_file.unlink(missing_ok=True)
        raise TerraformError(
            "aws-plan-changed",
            "after a failure, the rest of the plan is not what was confirmed",
            hint="run `up` again, and look at its plan",
            details=tuple(f"{change.action} {change.address}" for change in strange),
        )
