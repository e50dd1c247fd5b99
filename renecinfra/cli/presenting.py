"""How results look to people. Tables and sentences only; nothing here decides anything."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from renecinfra.console import MARKS, plain
from renecinfra.redaction import redactor

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.doctor import Finding
    from renecinfra.platforms.local.status import EnvironmentStatus
    from renecinfra.provision.bring_up import UpResult
    from renecinfra.provision.operations import RenderResult
    from renecinfra.provision.planning import UpPlan
    from renecinfra.provision.session import Session
    from renecinfra.provision.tear_down import DownPlan, DownResult
    from renecinfra.rendering import FileChange
    from renecinfra.review.change import Review

_ACTIONS = {
    "create": "[green]+ create[/]",
    "update": "[yellow]~ update[/]",
    "delete": "[red]- delete[/]",
    "forget": "[yellow]- forget[/]",
}
_REPLACE = "[yellow]± replace[/]"
_GRADES = {"safe": "[green]safe[/]", "caution": "[yellow]caution[/]", "stateful": "[bold red]STATEFUL[/]"}
_DIFF_LINES = 200
_DERIVED = ("/service.json", "/supervisor.conf", "environment.json")
_KINDS = {"add": "[green]+[/]", "change": "[yellow]~[/]", "remove": "[red]-[/]"}


def show_plan(console: Console, made: UpPlan) -> None:
    """Every change with its grade and the reason, the worst first; then how files differ."""
    if made.empty:
        console.result(f"{made.environment} is as its profile says: nothing to change")
        return
    show_review(console, made.review)
    for change in made.files:
        # How a service is started follows from the profile and is shown as the resource's replacement.
        if change.kind == "change" and not change.path.endswith(_DERIVED):
            _show_diff(console, change, made.environment)
    counts = Counter(change.kind for change in made.files)
    console.result(
        f"{len(made.terraform.pending)} resources to change; files: {counts['add']} new, "
        f"{counts['change']} changed, {counts['remove']} removed"
    )
    hooks = [change.address for change in made.review.changes if change.layer == "hook"]
    console.result(f"Then the hooks run: {', '.join(hooks)}" if hooks else "No hook runs.")
    if made.at_hand is None:
        console.result("OpenBao is set up first; then the rest is planned with the secrets as they are.")
    if made.data_kept and any(change.action == "create" for change in made.terraform.pending):
        console.result("Data of an earlier run is there and will be used.")


def show_review(console: Console, made: Review) -> None:
    """The graded changes as a table, and how many have which grade; new files are only counted."""
    rows = [
        (
            _GRADES[change.grade.word],
            _ACTIONS.get(change.action, _REPLACE),
            plain(change.address),
            plain("; ".join(change.reasons)),
        )
        for change in made.changes
        if change.layer != "hook" and not (change.layer in ("file", "secret") and change.action == "create")
    ]
    console.table(("risk", "action", "what", "why"), rows, title=f"Plan for {made.environment}")
    counts = made.counts
    console.result(", ".join(f"{counts[grade]} {grade.word}" for grade in sorted(counts, reverse=True)))


def _show_diff(console: Console, change: FileChange, environment: str) -> None:
    lines = change.diff.splitlines()
    console.diff("\n".join(lines[:_DIFF_LINES]))
    if len(lines) > _DIFF_LINES:
        console.result(
            f"… {len(lines) - _DIFF_LINES} more lines; see `renecinfra render {environment} --diff`"
        )


def show_up(console: Console, session: Session, result: UpResult) -> None:
    """The summary at the end of an `up`."""
    from renecinfra.platforms.local.verification import STANDARDS_PATH, edge_url

    if not result.changed:
        console.result(f"{session.name} is up and serves; nothing was changed ({result.seconds:.1f} s)")
        return
    for check in result.checks:
        console.result(f"{MARKS['ok']} {plain(check.name)}: {plain(check.detail)}", markup=True)
    local = session.profile.local
    console.result(f"\n{session.name} is up after {result.seconds:.1f} s")
    path = STANDARDS_PATH if session.profile.workloads.api.command is None else "/"
    console.result(f"  api          curl --cacert {_ca(session)} {edge_url(session.environment, path)}")
    console.result(f"  status page  http://127.0.0.1:{local.port('prometheus')}/consoles/index.html")
    console.result(f"  next         renecinfra status {session.name}")
    if redactor.hidden:
        console.result(f"  {redactor.hidden} secrets were hidden from the output")


def _ca(session: Session) -> str:
    ca = session.paths.ca
    try:
        return str(ca.relative_to(session.workspace.root))
    except ValueError:
        return str(ca)


def ask_down(console: Console, planned: DownPlan, *, yes: bool) -> None:
    """Name what is lost, and ask for the environment's name."""
    if yes or planned.empty:
        return
    stops = f"This stops {len(planned.services)} services of {planned.environment}"
    lost = "".join(f"\n  {name:24} {size / 2**20:8.1f} MiB" for name, size in planned.data.items())
    lost += "\n  its secrets and certificates"
    if planned.keep_data:
        lost = ""
    if planned.delete_backups:
        lost += f"\n  {'all of its backups':24} {planned.backups / 2**20:8.1f} MiB"
    if not lost:
        console.confirm(f"{stops}; its data stays.")
        return
    stays = (
        "" if planned.delete_backups or not planned.backups else f"\nIts backups stay: {_backups(planned)}"
    )
    console.confirm(f"{stops} and deletes for good:{lost}{stays}", expect=planned.environment)


def _backups(planned: DownPlan) -> str:
    return f"{planned.backups / 2**20:.1f} MiB in {planned.backups_place}"


def show_down(console: Console, result: DownResult) -> None:
    """The summary at the end of a `down`."""
    plan = result.plan
    if plan.empty:
        rest = "its data is still there" if plan.data else "nothing is left of it"
        console.result(f"{plan.environment} was not up; {rest}")
        return
    total = sum(plan.data.values()) / 2**20
    data = f"kept {total:.0f} MiB of data" if plan.keep_data else f"deleted {total:.0f} MiB of data"
    console.result(
        f"{plan.environment} is down after {result.seconds:.1f} s: "
        f"stopped {len(plan.services)} services, {data}"
    )
    if plan.backups and not plan.delete_backups:
        console.result(f"  kept         its backups, {_backups(plan)}; the next `up` goes on with them")
        console.result("               `down --delete-backups` deletes them")
    for place in plan.elsewhere:
        console.result(f"  kept         its backups in {place}, which have to be deleted there")


def show_render(console: Console, result: RenderResult, *, diff: bool) -> None:
    """What rendering did or would do."""
    if console.json_output:
        console.json(result.document())
        return
    for change in result.changes:
        if diff:
            console.diff(change.diff)
        else:
            console.result(f"{_KINDS[change.kind]} {plain(change.path)}", markup=True)
    verb = "written" if result.written else "would change"
    console.result(f"{len(result.changes)} of {result.files} files {verb} in {result.directory}")


_STATES = {
    "healthy": "green",
    "done": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "stopped": "dim",
}


def show_status(console: Console, seen: EnvironmentStatus) -> None:
    """The state of an environment on one screen."""
    rows = []
    for service in seen.services:
        colour = _STATES.get(service.state, "red")
        detail = "" if service.ok else service.detail
        rows.append(
            (
                f"[{colour}]{service.state}[/]",
                plain(service.name),
                _age(service.uptime),
                plain(service.version or ""),
                str(service.port or ""),
                plain(detail),
            )
        )
    console.table(("state", "service", "up for", "version", "port", "detail"), rows, title=seen.environment)
    console.result()
    for database in seen.databases:
        size = f", {database.size / 2**20:.0f} MiB" if database.size else ""
        lag = ""
        if database.lag_bytes is not None:
            lag = f", {database.lag_bytes} bytes behind, lag {database.lag_seconds or 0:.2f} s"
        console.result(f"{database.service}: {database.role}{size}{lag}")
    if seen.queues:
        console.result("queues: " + ", ".join(f"{name} {count}" for name, count in seen.queues.items()))
    if seen.harvest is not None:
        items = f", {seen.harvest.items} items" if seen.harvest.items is not None else ""
        console.result(f"last harvest: {seen.harvest.status}, {_age(seen.harvest.age)} ago{items}")
    if seen.recovery is not None:
        from renecinfra.cli.backup_presenting import show_recovery

        show_recovery(console, seen.recovery)
    for problem in seen.problems:
        console.result(f"{MARKS['failed']} {plain(problem)}", markup=True)
    if not any(service.pid for service in seen.services):
        console.result(f"{seen.environment} is down; `renecinfra up {seen.environment}` brings it up")


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def show_findings(console: Console, findings: list[Finding]) -> None:
    """What `doctor` saw, with a hint under what is not right."""
    for finding in findings:
        mark = MARKS["ok"] if finding.ok else MARKS["failed" if finding.required else "warn"]
        console.result(f"{mark} {plain(finding.name)}: {plain(finding.detail)}", markup=True)
        if not finding.ok and finding.hint:
            console.result(f"    hint: {finding.hint}")
