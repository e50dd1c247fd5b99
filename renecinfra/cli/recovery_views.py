"""How plans and results of recovery look to people. Tables and sentences only; nothing here decides
anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from renecinfra.console import MARKS, plain

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.profiles.model import Profile
    from renecinfra.provision.rehearsal import Rehearsal
    from renecinfra.provision.restore_result import RestoreResult
    from renecinfra.recovery.drill import Drill
    from renecinfra.recovery.driver import FailoverPlan
    from renecinfra.recovery.plan import RestorePlan


def show_restore_plan(console: Console, made: RestorePlan) -> None:
    """Where from, how far, what is lost, how long, how much room."""
    from renecinfra.recovery.targets import show

    loss, durations = made.loss, made.durations
    last = made.expectation.last
    rows = [
        ("target", made.target),
        ("ends at", f"the commit of {show(last.at)}" if last else "the end of the backup"),
        (
            "from backup",
            f"{made.backup.label} ({made.backup.type}, {size(made.backup.size)}, ended "
            f"{show(made.backup.stopped)}, repository {made.backup.repository})",
        ),
        ("WAL needed", f"{made.wal_first} to {made.wal_last} ({size(made.wal)}), all of it is there"),
        ("lost", _lost(made)),
        (
            "takes",
            f"about {durations.total:.0f} s: files {durations.files:.0f}, replay {durations.replay:.0f}, "
            f"checks {durations.checks:.0f} ({'measured here' if durations.measured else 'assumed speeds'})",
        ),
        ("stops", f"for about {durations.stop:.0f} s: {', '.join(made.stops)}" if made.stops else "nothing"),
        ("room", f"{size(made.needed)} beside the running database; {size(made.free)} are free"),
    ]
    if loss.tables:
        rows.append(("rows changed", ", ".join(f"{name} {count}" for name, count in loss.tables.items())))
    console.table(
        ("", ""), [(label, plain(text)) for label, text in rows], title=f"Restore of {made.environment}"
    )
    for text in made.alternatives:
        console.result(f"instead: {text}")
    for text in made.warnings:
        console.result(f"{MARKS['warn']} {plain(text)}", markup=True)


def _lost(made: RestorePlan) -> str:
    from renecinfra.recovery.targets import show

    loss = made.loss
    if loss.transactions == 0:
        return "nothing that is known to have been committed"
    many = "an unknown number of" if loss.transactions is None else str(loss.transactions)
    until = f" until {show(loss.until)}" if loss.until else ""
    span = f", {duration(loss.seconds)} of work" if loss.seconds else ""
    return f"{many} transactions{until}{span}"


def show_restored(console: Console, name: str, result: RestoreResult, action: str | None) -> None:
    """The summary at the end of a restore, an undo or an abort."""
    if action == "--abort" or (action == "--undo" and result.held is None):
        console.result(f"what was restored beside is gone; the database of {name} was not touched")
        return
    for finding in result.findings:
        console.result(f"{MARKS['ok']} {plain(finding.name)}: {plain(finding.detail)}", markup=True)
    for table in result.tables:
        about = "" if table.exact else "about "
        newest = f", newest {table.latest}" if table.latest else ""
        console.result(f"    {table.name}: {about}{table.rows} rows{newest}")
    for text in result.warnings:
        console.result(f"{MARKS['warn']} {plain(text)}", markup=True)
    held = f"; writers waited {result.held:.1f} s" if result.held is not None else ""
    if action == "--undo":
        console.result(f"{name} has its old database again after {result.seconds:.1f} s{held}")
        return
    done = f"restored to {result.state.target}" if action != "failover" else "on what was its replica"
    console.result(f"\n{name} is {done} after {result.seconds:.1f} s{held}")
    if result.state.kept:
        console.result(f"  go back      renecinfra restore {name} --undo")
        console.result(f"  keep it      renecinfra restore {name} --finish   (removes the old database)")
    else:
        console.result(
            f"  keep it      renecinfra restore {name} --finish   (there was no old database to keep)"
        )
    console.result(f"  next         renecinfra status {name}")


def show_failover_plan(console: Console, made: FailoverPlan) -> None:
    """Whether the primary runs, what the replica has, and what would be lost."""
    from renecinfra.recovery.targets import show

    if made.primary_alive:
        console.result(
            f"the primary of {made.environment} runs, and the replica is {made.behind} bytes behind: "
            "it gets the rest before it is promoted, so nothing is lost"
        )
    else:
        at = f"the commit of {show(made.replayed)}" if made.replayed else "an unknown commit"
        console.result(
            f"the primary of {made.environment} does not serve; the replica has everything up to {at}"
        )
        if made.better is None and made.newest is not None:
            console.result("nobody has anything newer")
    if made.better is not None:
        console.result(f"{MARKS['warn']} {plain('this loses less: ' + made.better)}", markup=True)


def show_drill(console: Console, profile: Profile, drill: Drill) -> None:
    """What was checked, and the figures beside the promised ones."""
    from renecinfra.recovery.targets import show

    for finding in drill.findings:
        console.result(f"{MARKS['ok']} {plain(finding.name)}: {plain(finding.detail)}", markup=True)
    moment = show(drill.target) if drill.target else "its end"
    backups = profile.backups
    console.result(f"backup {drill.backup} was restored to {moment}")
    console.result(
        f"RTO {duration(drill.rto)} (promised {duration(backups.rto.total_seconds())}): files "
        f"{drill.seconds['files']:.1f}, replay {drill.seconds['replay']:.1f}, checks "
        f"{drill.seconds['checks']:.1f} s"
    )
    if drill.rpo is not None:
        promised = duration(backups.rpo.total_seconds())
        console.result(f"RPO {duration(drill.rpo)} from the archive alone (promised {promised})")


def show_rehearsal(console: Console, done: Rehearsal) -> int:
    """What a cloud or an operator restored, and how long that took; a command's exit code."""
    if console.json_output:
        console.json(done.document())
        return 0
    for finding in done.findings:
        console.result(f"{MARKS['ok']} {plain(finding.name)}: {plain(finding.detail)}", markup=True)
    ago = "" if done.behind is None else f", {duration(done.behind)} ago,"
    console.result(
        f"{done.environment} can be restored to {done.target}{ago} in {duration(done.seconds)}; "
        "what was restored for it is deleted"
    )
    return 0


def size(count: int) -> str:
    """Bytes for people."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def duration(seconds: float) -> str:
    """A span for people."""
    for unit, factor in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.1f} {unit}"
    return f"{seconds:.1f} s"
