"""`backup` and `restore` of environments in AWS: what is refused there, what is asked, how it looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from renecinfra.cli.options import arguments
from renecinfra.cli.recovery_views import duration, size
from renecinfra.console import MARKS, plain

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.platforms.aws.recovery import Names
    from renecinfra.provision.aws.backups import AwsBackups, Snapshot
    from renecinfra.provision.aws.restore_planning import AwsRestorePlan
    from renecinfra.provision.aws.restore_progress import Progress
    from renecinfra.provision.aws.restoring import AwsRestoreResult, Questions
    from renecinfra.provision.aws.session import AwsSession
    from renecinfra.provision.aws.undoing import Confirm
    from renecinfra.recovery.targets import RecoveryTarget


def refuse(session: AwsSession, what: str, instead: str) -> None:
    """An option that means nothing in AWS.

    Raises:
        UsageError: always.
    """
    from renecinfra.errors import UsageError

    raise UsageError(
        "aws-unsupported", f"{what} is not for {session.name}, whose database RDS runs", hint=instead
    )


# --- restore


def restore(
    session: AwsSession, console: Console, target: RecoveryTarget, *, dry_run: bool, yes: bool
) -> int:
    """`restore` with a target."""
    from renecinfra.provision.aws import restore_planning, restoring

    if dry_run:
        with session.locked("restore", arguments()):
            made = restore_planning.plan(session, restoring.instances_of(session), target)
        if console.json_output:
            console.json(made.document())
        else:
            show_restore_plan(console, made)
            console.result("nothing was changed: this was a dry run")
        return 0
    result = restoring.restore(session, target, _questions(console, session, yes=yes), arguments())
    return _show(console, result)


def act(session: AwsSession, console: Console, action: str, *, yes: bool) -> int:
    """`restore` with one of --resume, --undo, --abort, --finish."""
    from renecinfra.provision.aws import restoring, undoing

    if action == "--resume":
        return _show(console, restoring.resume(session, _questions(console, session, yes=yes), arguments()))
    if action == "--finish":
        done = undoing.finish(session, _asking(console, session, "This deletes", yes=yes), arguments())
        if console.json_output:
            console.json(done.document())
        else:
            console.result(f"gone: {', '.join(done.deleted) or 'nothing was kept'}")
            for snapshot in done.snapshots:
                console.result(f"  a last snapshot is being taken: {snapshot}")
        return 0
    ask, work = {
        "--undo": ("What was written since the restore is left behind. This brings back", undoing.undo),
        "--abort": ("This deletes", undoing.abort),
    }[action]
    return _show(console, work(session, _asking(console, session, ask, yes=yes), arguments()))


def _questions(console: Console, session: AwsSession, *, yes: bool) -> Questions:
    from renecinfra.provision.aws.restoring import Questions

    def ask_plan(made: AwsRestorePlan) -> None:
        if not console.json_output:
            show_restore_plan(console, made)
        if not yes:
            console.confirm(
                f"This replaces the database of {session.name} by the restored one.", expect=session.name
            )

    def ask_cutover(names: Names, address: str) -> None:
        if yes:
            return
        console.result(
            f"{names.restored} is restored, at {address}. Nothing has changed places yet: look at it now, "
            "from within the network. Any other answer leaves it there for `--resume` or `--abort`."
        )
        console.confirm(
            f"Change places with {names.base}? It cannot be reached for 10 to 20 minutes.",
            expect=session.name,
        )

    return Questions(ask_plan, ask_cutover)


def _asking(console: Console, session: AwsSession, words: str, *, yes: bool) -> Confirm:
    def ask(found: Progress, instances: tuple[str, ...]) -> None:
        if not yes:
            console.confirm(
                f"{words} {', '.join(instances) or 'nothing'} (restore {found.names.id} to {found.target}).",
                expect=session.name,
            )

    return ask


def show_restore_plan(console: Console, made: AwsRestorePlan) -> None:
    """Where from, how far, what is lost, what stops, what stays."""
    from renecinfra.recovery.targets import show

    source = made.source
    where = f"snapshot {made.snapshot}" if made.snapshot else f"the backups of {source.identifier}"
    alive = "" if source.alive else " (the instance is gone)"
    rows = [
        ("target", made.target),
        ("ends at", show(made.at)),
        ("from", f"{where}{alive}, {size(source.size)} of storage"),
        ("lost", f"what was committed in the last {duration(made.lost)}"),
        ("takes", made.takes),
        ("stops", f"the database, for {made.stops}"),
        ("beside", made.names.restored),
        ("kept", ", ".join(made.names.kept(name) for name in made.moved) or "nothing: no instance is there"),
    ]
    console.table(
        ("", ""), [(label, plain(text)) for label, text in rows], title=f"Restore of {made.environment}"
    )
    for text in made.warnings:
        console.result(f"{MARKS['warn']} {plain(text)}", markup=True)


def _show(console: Console, result: AwsRestoreResult) -> int:
    name = result.environment
    if console.json_output:
        console.json(result.document())
        return 0
    if result.action == "abort":
        console.result(f"what was restored beside is gone; the database of {name} was not touched")
        return 0
    if result.action == "undo":
        console.result(f"{name} has its old database again after {duration(result.seconds)}")
        console.result(f"  clear up     renecinfra restore {name} --finish   ({', '.join(result.kept)})")
        return 0
    for finding in result.findings:
        console.result(f"{MARKS['ok']} {plain(finding.name)}: {plain(finding.detail)}", markup=True)
    console.result(f"\n{name} is restored to {result.target} after {duration(result.seconds)}")
    if result.snapshot:
        console.result(f"  snapshot     {result.snapshot} is being taken")
    if result.kept:
        console.result(f"  go back      renecinfra restore {name} --undo")
        console.result(f"  keep it      renecinfra restore {name} --finish   ({', '.join(result.kept)})")
    console.result(f"  next         renecinfra status {name}")
    return 0


# --- backup


def list_backups(session: AwsSession, console: Console) -> int:
    """`backup list`."""
    from renecinfra.provision.aws.backups import listing

    seen = listing(session)
    if console.json_output:
        console.json(seen.document())
    else:
        show_backups(console, seen)
    return 1 if seen.problems else 0


def show_backups(console: Console, seen: AwsBackups) -> None:
    """Snapshots, the window, the copies, what is wrong."""
    from renecinfra.recovery.targets import show

    rows = [
        (
            MARKS["ok" if one.status == "available" and one.encrypted else "warn"],
            plain(one.identifier),
            one.kind,
            f"{duration((seen.now - one.taken).total_seconds())} ago" if one.taken else one.status,
            size(one.size),
            plain(one.reason or ""),
        )
        for one in seen.snapshots
    ]
    console.table(("", "snapshot", "type", "taken", "storage", "reason"), rows, title=seen.environment)
    source = seen.source
    if source is not None and source.latest is not None:
        earliest = show(source.earliest) if source.earliest else "an unknown moment"
        console.result(
            f"{MARKS['ok']} any moment from {earliest} to {show(source.latest)} can be restored", markup=True
        )
        if not source.alive:
            console.result(f"{MARKS['warn']} {source.identifier} itself is gone", markup=True)
    if seen.copies:
        console.result(f"{MARKS['ok']} copied to {seen.copy_region}", markup=True)
    for problem in seen.problems:
        console.result(f"{MARKS['failed']} {plain(problem)}", markup=True)


def create(session: AwsSession, console: Console, reason: str) -> int:
    """`backup create`."""
    from renecinfra.provision.aws.backups import create as take

    taken = take(session, reason, arguments())
    if console.json_output:
        console.json({"environment": session.name, **taken.document()})
    else:
        console.result(f"{MARKS['ok']} {plain(taken.identifier)}, {size(taken.size)} of storage", markup=True)
        console.result(f"  restore it   renecinfra restore {session.name} --backup {taken.identifier}")
    return 0


def expire(session: AwsSession, console: Console, identifier: str, *, yes: bool) -> int:
    """`backup expire --backup ID`."""
    from renecinfra.provision.aws.backups import expire as delete

    def ask(found: Snapshot) -> None:
        if not yes:
            taken = f", taken {found.taken:%Y-%m-%d %H:%M:%S} UTC" if found.taken else ""
            console.confirm(
                f"This deletes snapshot {found.identifier}{taken}, for good.", expect=session.name
            )

    gone = delete(session, identifier, ask, arguments())
    if console.json_output:
        console.json({"environment": session.name, "expired": [gone.document()]})
    else:
        console.result(f"{gone.identifier} is gone")
    return 0
