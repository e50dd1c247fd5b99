"""The commands of ``lifecycle`` and ``watching`` over an environment on a cluster, and their results."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from renecinfra.cli.options import arguments
from renecinfra.cli.presenting import show_review
from renecinfra.console import MARKS, plain
from renecinfra.errors import DeclinedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from renecinfra.cli.lifecycle import PlanFormat
    from renecinfra.console import Console
    from renecinfra.platforms.kubernetes.status import ClusterStatus
    from renecinfra.provision.approving import Approval
    from renecinfra.provision.kubernetes.bring_up import ClusterPlan, ClusterUpResult
    from renecinfra.provision.kubernetes.session import ClusterSession
    from renecinfra.provision.kubernetes.tear_down import ClusterDownPlan, ClusterDownResult

_ACTIONS = {"install": "[green]+ install[/]", "upgrade": "[yellow]~ upgrade[/]", "unchanged": "= unchanged"}
_DIFF_LINES = 200


def plan(
    session: ClusterSession, console: Console, form: PlanFormat, out: Path | None, *, detailed_exitcode: bool
) -> int:
    """Show what `up` would do."""
    from renecinfra.cli.planning import present_plan
    from renecinfra.provision.approving import save
    from renecinfra.provision.kubernetes.bring_up import make_plan

    with session.locked("plan", arguments()):
        made = make_plan(session)
    if out is not None:
        save(session, made, out)
    present_plan(console, made, form, show_plan)
    return 2 if detailed_exitcode and not made.empty else 0


def show_plan(console: Console, made: ClusterPlan) -> None:
    """Every release with what becomes of it, then the objects that differ."""
    if made.empty:
        console.result(f"{made.environment} is as its profile says: nothing to change")
        return
    rows = [
        (
            _ACTIONS[one.action],
            plain(one.release.name),
            plain(one.release.chart.label),
            plain(one.repair.text if one.repair else one.summary),
        )
        for one in made.releases.pending
    ]
    console.table(("action", "release", "chart", "what"), rows, title=f"Plan for {made.environment}")
    show_review(console, made.review)
    for one in made.releases.pending:
        if one.action == "upgrade":
            for change in one.changes:
                lines = change.diff.splitlines()
                console.diff("\n".join(lines[:_DIFF_LINES]))
                if len(lines) > _DIFF_LINES:
                    console.result(f"… {len(lines) - _DIFF_LINES} more lines; --json has all of them")
    console.result(f"{len(made.releases.pending)} of {len(made.releases.releases)} releases to change")


def up(
    session: ClusterSession,
    console: Console,
    approved: Callable[[Callable[[Any], None]], Approval],
    *,
    yes: bool,
) -> int:
    """Bring the environment to its profile."""
    from renecinfra.provision.kubernetes.bring_up import up as bring_up

    def confirm(made: ClusterPlan) -> None:
        if not console.json_output:
            show_plan(console, made)
        if not yes:
            named = session.profile.protection.protected
            console.confirm(f"Apply this to {made.environment}?", expect=made.environment if named else None)

    approval = approved(confirm)
    approval.check_early(session)
    result = bring_up(session, lambda made: approval.check(session, made), arguments())
    if console.json_output:
        console.json(result.document())
    else:
        show_up(console, session, result)
    return 0


def show_up(console: Console, session: ClusterSession, result: ClusterUpResult) -> None:
    """The summary at the end of an `up`."""
    name = session.name
    if not result.changed:
        console.result(f"{name} is up and serves; nothing was changed ({result.seconds:.1f} s)")
        return
    ready = sum(one.ready for one in result.status.workloads)
    console.result(f"\n{name} is up after {result.seconds:.1f} s: {ready} pods of its workloads are ready")
    console.result(f"  edge  https://{session.profile.edge.host}/")
    console.result(f"  next  renecinfra status {name}")


def down(session: ClusterSession, console: Console, *, keep_data: bool, yes: bool) -> int:
    """Take the environment away."""
    from renecinfra.provision.kubernetes.tear_down import down as tear_down

    result = tear_down(
        session, lambda planned: _ask_down(console, planned, yes=yes), arguments(), keep_data=keep_data
    )
    if console.json_output:
        console.json(result.document())
    else:
        _show_down(console, result)
    return 0


def _ask_down(console: Console, planned: ClusterDownPlan, *, yes: bool) -> None:
    """Name what is lost, and ask for the environment's name; of a protected one in any case."""
    if planned.empty:
        return
    names = ", ".join(one.name for one in planned.releases)
    if planned.keep_data:
        if not yes:
            console.confirm(f"This removes {names} of {planned.environment}; its data and operators stay.")
        return
    if planned.protected and yes:
        raise DeclinedError(
            "protected",
            f"{planned.environment} is protected: deleting its data takes its name, typed at a terminal",
            hint="run it without --yes, or with --keep-data",
        )
    if yes:
        return
    lost = [f"{name:40} {size}" for name, size in planned.volumes.items()]
    lost += [one.data for one in planned.releases if one.data]
    listed = "".join(f"\n  {one}" for one in lost)
    console.confirm(
        f"This removes {names} and deletes for good:{listed}\nBackups in the bucket stay.",
        expect=planned.environment,
    )


def _show_down(console: Console, result: ClusterDownResult) -> None:
    planned = result.plan
    if planned.empty:
        console.result(f"{planned.environment} was not up; nothing was changed")
        return
    data = "kept" if planned.keep_data else "deleted"
    console.result(
        f"{planned.environment} is down after {result.seconds:.1f} s: "
        f"removed {len(planned.releases)} releases, {data} {len(planned.volumes)} volumes"
    )


def status(session: ClusterSession, console: Console, *, watch: bool, interval: float) -> int:
    """Show the state of an environment."""
    from renecinfra.provision.kubernetes.bring_up import read_status

    while True:
        seen = read_status(session)
        if watch and not console.json_output:
            console.clear()
        if console.json_output:
            console.json(seen.document())
        else:
            show_status(console, seen)
        if not watch:
            return 0 if seen.ok else 1
        time.sleep(interval)


def show_status(console: Console, seen: ClusterStatus) -> None:
    """The state of an environment on one screen."""
    rows = [
        (
            "[green]ready[/]" if one.ok else "[red]not ready[/]",
            plain(one.name),
            f"{one.ready}/{one.wanted}",
            str(one.restarts),
            plain(", ".join(one.images)),
        )
        for one in seen.workloads
    ]
    console.table(("state", "workload", "ready", "restarts", "images"), rows, title=seen.environment)
    console.result()
    for one in seen.releases:
        console.result(f"release {one.name}: {one.chart}, revision {one.revision}, {one.status}")
    for name, text in seen.scaling.items():
        console.result(f"scaling {name}: {text}")
    for name, text in seen.certificates.items():
        console.result(f"certificate {name}: {text}")
    if seen.database:
        console.result(f"database: {seen.database}")
    if seen.last_backup:
        console.result(f"last backup: {seen.last_backup}")
    for problem in seen.problems:
        console.result(f"{MARKS['failed']} {plain(problem)}", markup=True)


def logs(session: ClusterSession, console: Console, workload: str, *, follow: bool, lines: int) -> None:
    """Show the last lines of a workload's pods."""
    from renecinfra.provision.kubernetes.reading_logs import logs as read

    read(session, workload, console.page, follow=follow, lines=lines)
