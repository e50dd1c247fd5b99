"""A named restore point before an `up` changes anything that runs, so that "before Tuesday's migration" is
a target."""

from __future__ import annotations

from renecinfra.errors import ToolError
from renecinfra.platforms.local import backups
from renecinfra.provision.planning import UpPlan
from renecinfra.provision.session import Session
from renecinfra.recovery import restore_points
from renecinfra.recovery.restore_points import RestorePoint

# The resources whose change says most of what is done, the most telling first.
_WHAT = (("migration", "migration"), ("workload", "deployment"))


def point_before(session: Session, plan: UpPlan) -> RestorePoint | None:
    """Make the point, and say so; None where there is no database yet or it does not run: nothing to go
    back to."""
    # Loaded here: hooks are imported when they are used.
    from renecinfra.hooks.backups import ready_for

    if not session.profile.backups.enabled or not plan.terraform.pending:
        return None
    database = backups.protected(session.profile, session.environment.host)
    if ready_for(database) is None:
        return None
    try:
        point = restore_points.before(database, what_changes(plan))
    except ToolError as error:
        session.reporter.warn(f"no restore point is made before this: {error.message}")
        return None
    session.reporter.note(f"restore point {point.name}")
    return point


def what_changes(plan: UpPlan) -> str:
    """One word for what an `up` does."""
    pending = [change.address for change in plan.terraform.pending]
    for layer, word in _WHAT:
        if any(address.startswith(f"terraform_data.{layer}[") for address in pending):
            return word
    return "change"
