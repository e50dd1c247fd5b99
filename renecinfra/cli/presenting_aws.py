"""How results of environments in AWS look to people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from renecinfra.cli.clusters import show_status as show_cluster
from renecinfra.cli.presenting import show_review
from renecinfra.console import MARKS, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from renecinfra.console import Console
    from renecinfra.platforms.aws.costs import Estimate, Range
    from renecinfra.platforms.aws.state import StateVersion
    from renecinfra.platforms.aws.status import AwsStatus
    from renecinfra.provision.aws.bootstrapping import BootstrapPlan
    from renecinfra.provision.aws.bring_up import AwsUpResult
    from renecinfra.provision.aws.looking import AwsSeen
    from renecinfra.provision.aws.planning import AwsPlan
    from renecinfra.provision.aws.states import LockReport, Recovery
    from renecinfra.provision.aws.tear_down import AwsDownPlan, AwsDownResult

_COSTS_SHOWN: Final = 8
_LISTED: Final = 20


def show_plan(console: Console, made: AwsPlan) -> None:
    """Every change by risk, with the reason, and what a month costs."""
    if made.releases.why:
        console.note(f"the releases were not compared with the cluster: {made.releases.why}")
    if made.empty:
        console.result(f"{made.environment} is as its profile says: nothing to change")
        _show_cost(console, made.cost, changes=False)
        return
    show_review(console, made.review)
    counts = Counter(change.action for change in made.terraform.pending)
    console.result(
        f"{len(made.terraform.pending)} resources to change: "
        + ", ".join(f"{count} {action}" for action, count in sorted(counts.items()))
    )
    if made.releases.plan is not None and not made.releases.plan.empty:
        names = ", ".join(one.release.name for one in made.releases.plan.pending)
        console.result(f"{len(made.releases.plan.pending)} releases to change: {names}")
    _show_cost(console, made.cost, changes=True)


def _show_cost(console: Console, cost: Estimate, *, changes: bool) -> None:
    console.result()
    if changes:
        rows = [(_dollars(c.difference, sign=True), plain(c.address)) for c in cost.changes[:_COSTS_SHOWN]]
        if rows:
            console.table(("USD a month", "resource"), rows, title="What changes the bill")
        if (more := len(cost.changes) - _COSTS_SHOWN) > 0:
            console.result(f"… and {more} smaller ones")
        console.result(f"this changes a month by {_dollars(cost.difference, sign=True)} USD")
    console.result(
        f"the environment costs {_dollars(cost.after)} USD a month: from a quiet one to a busy one"
    )
    if cost.unpriced:
        console.result(f"not in the table, and not counted: {', '.join(cost.unpriced)}")
    console.result(f"prices of {cost.as_of:%Y-%m-%d}: {cost.source}")


def _dollars(found: Range, *, sign: bool = False) -> str:
    form = "+,.0f" if sign else ",.0f"
    low, high = format(found.low, form), format(found.high, form)
    return low if low == high else f"{low} to {high}"


def ask_bootstrap(console: Console, looked: BootstrapPlan, *, yes: bool) -> None:
    """Say what would be made, and ask."""
    if not console.json_output:
        show_bootstrap(console, looked, made=0)
    if not yes:
        console.confirm(f"Make this in account {looked.account}?")


def show_bootstrap(console: Console, looked: BootstrapPlan, *, made: int) -> None:
    """What there is of the state's place."""
    if console.json_output:
        console.json({**looked.document(), "made": made})
        return
    for step in looked.steps:
        mark = MARKS["ok"] if step.done or made else MARKS["warn"]
        console.result(f"{mark} {plain(step.what)}{'' if step.done or made else ': to be made'}", markup=True)
    if made:
        console.result(f"the state of {looked.environment} has its place: {made} things were made")
    elif not looked.pending:
        console.result(f"the state of {looked.environment} has its place already")


def show_up(console: Console, result: AwsUpResult) -> None:
    """The summary at the end of an `up`."""
    for hook in result.hooks:
        mark = MARKS["ok" if hook.result == "ok" else "warn"]
        console.result(f"{mark} {plain(hook.name)}: {plain(hook.message)}", markup=True)
    environment = result.plan.environment
    changed = len(result.plan.terraform.pending)
    if not changed:
        console.result(f"{environment} is up; nothing was changed ({result.seconds:.0f} s)")
        return
    console.result(f"\n{environment} is up after {result.seconds:.0f} s; {changed} resources were changed")
    console.result(f"  address  https://{result.outputs['edge']['host']}/")
    console.result(f"  next     renecinfra status {environment}")


def ask_down(console: Console, planned: AwsDownPlan, *, yes: bool) -> None:
    """Name what is lost and what stays, and ask for the environment's name."""
    if not console.json_output:
        lost = "".join(
            f"\n  {count} objects of {bucket}" for bucket, count in planned.objects.items() if count
        )
        console.result(f"This destroys {len(planned.destroyed)} resources of {planned.environment}{lost}")
        if planned.kept:
            console.result(f"It keeps {len(planned.kept)} resources: backups, their vaults and their keys.")
        console.result(f"Last snapshots are taken: {', '.join(planned.snapshots)}")
    if not yes:
        console.confirm(f"Destroy {planned.environment}?", expect=planned.environment)


def show_down(console: Console, result: AwsDownResult) -> None:
    """The summary at the end of a `down`."""
    plan = result.plan
    if plan.empty:
        console.result(f"{plan.environment} was not up; {len(plan.kept)} resources of its backups are kept")
        return
    console.result(
        f"{plan.environment} is down after {result.seconds:.0f} s: "
        f"{len(plan.destroyed)} resources destroyed, {len(plan.kept)} kept"
    )


def show_status(console: Console, seen: AwsSeen) -> None:
    """The parts of an environment, what runs in its cluster, and what is wrong with them."""
    _show_parts(console, seen.parts)
    if seen.cluster is not None:
        console.result()
        show_cluster(console, seen.cluster)
    elif seen.why:
        console.note(f"the cluster was not asked: {seen.why}")


def _show_parts(console: Console, seen: AwsStatus) -> None:
    rows = [
        (f"[{'green' if part.ok else 'red'}]{plain(part.state)}[/]", plain(part.name), plain(part.detail))
        for part in seen.parts
    ]
    console.table(("state", "part", "detail"), rows, title=seen.environment)
    for problem in seen.problems:
        console.result(f"{MARKS['failed']} {plain(problem)}", markup=True)


def show_lock(console: Console, environment: str, report: LockReport | None) -> None:
    """Who locks the state, since when, for what, and whether they can still be alive."""
    if console.json_output:
        console.json({"environment": environment, "lock": report.document() if report else None})
        return
    if report is None:
        console.result(f"the state of {environment} is not locked")
        return
    lock = report.lock
    since = f"{lock.created:%Y-%m-%d %H:%M:%S %Z}" if lock.created else "an unknown time"
    console.result(f"the state of {environment} is locked")
    console.result(
        f"  by      {lock.who or 'somebody'}, with Terraform {lock.terraform or 'of unknown version'}"
    )
    console.result(f"  for     {lock.operation or 'an unknown operation'}")
    console.result(f"  since   {since}")
    console.result(f"  id      {lock.id}")
    console.result(f"  its run {'may still be alive' if report.alive else 'is dead'}: {report.why}")


def ask_unlock(console: Console, report: LockReport, *, yes: bool) -> None:
    """Ask before the lock goes; of a run that may be alive the name is asked for, whatever --yes says."""
    if report.alive:
        console.confirm(
            "If that run is alive, a second one beside it destroys the state: ask its owner. Remove it?",
            expect=report.environment,
        )
    elif not yes:
        console.confirm("Remove the lock?")


def show_history(console: Console, environment: str, versions: Sequence[StateVersion]) -> None:
    """The versions of a state."""
    if console.json_output:
        console.json({"environment": environment, "versions": [one.document() for one in versions]})
        return
    rows = [
        (
            "current" if one.current else "",
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            str(one.serial),
            str(one.resources),
            plain(one.terraform),
            plain(one.id),
        )
        for one in versions
    ]
    console.table(("", "at (UTC)", "serial", "resources", "Terraform", "version"), rows, title=environment)


def ask_recovery(console: Console, recovery: Recovery, *, yes: bool) -> None:
    """Name what Terraform would forget, and ask for the environment's name."""
    if not console.json_output:
        _list(console, "Terraform forgets, though it may still be in AWS", recovery.forgotten)
        _list(console, "Terraform remembers, though it may be gone from AWS", recovery.remembered)
    if not yes:
        console.confirm("Bring this state back?", expect=recovery.environment)


def show_recovery(console: Console, recovery: Recovery) -> None:
    """What was brought back, and what to do next."""
    if console.json_output:
        console.json(recovery.document())
        return
    console.result(f"the state is that of version {recovery.version} again, as serial {recovery.serial}")
    console.result(f"  next  renecinfra plan {recovery.environment}")


def _list(console: Console, title: str, addresses: Sequence[str]) -> None:
    if not addresses:
        return
    console.result(f"{title}:")
    for address in addresses[:_LISTED]:
        console.result(f"  {address}")
    if len(addresses) > _LISTED:
        console.result(f"  … and {len(addresses) - _LISTED} more")
