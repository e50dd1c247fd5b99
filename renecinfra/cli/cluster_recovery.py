"""`backup` and `restore` of environments on a cluster: what is asked, and how it looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from renecinfra.cli.options import arguments
from renecinfra.cli.recovery_views import duration, size
from renecinfra.console import MARKS, plain

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.kubernetes.places import DatabasePlace
    from renecinfra.provision.kubernetes.restoring import (
        ClusterRestorePlan,
        ClusterRestoreResult,
        Questions,
    )
    from renecinfra.provision.kubernetes.session import ClusterSession
    from renecinfra.provision.kubernetes.undoing import Confirm
    from renecinfra.recovery.targets import RecoveryTarget


def refuse(session: ClusterSession, what: str, instead: str) -> None:
    """An option that means nothing on a cluster.

    Raises:
        UsageError: always.
    """
    from renecinfra.errors import UsageError

    raise UsageError(
        "cluster-unsupported",
        f"{what} is not for {session.name}, whose database CloudNativePG runs",
        hint=instead,
    )


def restore(
    session: ClusterSession, console: Console, target: RecoveryTarget, *, dry_run: bool, yes: bool
) -> int:
    """`restore` with a target."""
    from renecinfra.provision.kubernetes import restoring

    if dry_run:
        with session.locked("restore", arguments()):
            made = restoring.plan(session, target)
        if console.json_output:
            console.json(made.document())
        else:
            show_plan(console, made)
            console.result("nothing was changed: this was a dry run")
        return 0
    return _show(
        console, restoring.restore(session, target, _questions(console, session, yes=yes), arguments())
    )


def act(session: ClusterSession, console: Console, action: str, *, yes: bool) -> int:
    """`restore` with one of --resume, --undo, --abort, --finish."""
    from renecinfra.provision.kubernetes import restoring, undoing

    if action == "--resume":
        return _show(console, restoring.resume(session, _questions(console, session, yes=yes), arguments()))
    words, work = {
        "--undo": ("What was written since the restore is left behind. This brings back", undoing.undo),
        "--abort": ("This deletes, with its volumes,", undoing.abort),
        "--finish": ("This deletes for good, with its volumes,", undoing.finish),
    }[action]
    return _show(console, work(session, _asking(console, session, words, yes=yes), arguments()))


def _questions(console: Console, session: ClusterSession, *, yes: bool) -> Questions:
    from renecinfra.provision.kubernetes.restoring import Questions

    def ask_plan(made: ClusterRestorePlan) -> None:
        if not console.json_output:
            show_plan(console, made)
        if not yes:
            console.confirm(
                f"This replaces the database of {session.name} by the restored one.", expect=session.name
            )

    def ask_cutover(new: DatabasePlace, current: DatabasePlace) -> None:
        if yes:
            return
        console.result(
            f"{new.name} is recovered, and nobody uses it yet: look at it now, as with "
            f"`kubectl exec -n {session.environment.namespace} {new.name}-1 -- psql`. "
            "Any other answer leaves it there for `--resume` or `--abort`."
        )
        console.confirm(f"Stop {current.name} and let {new.name} serve?", expect=session.name)

    return Questions(ask_plan, ask_cutover)


def _asking(console: Console, session: ClusterSession, words: str, *, yes: bool) -> Confirm:
    def ask(current: DatabasePlace, other: DatabasePlace) -> None:
        if not yes:
            console.confirm(f"{words} {other.name}; {current.name} serves now.", expect=session.name)

    return ask


def show_plan(console: Console, made: ClusterRestorePlan) -> None:
    """Where from, how far, what is lost, what stops, what stays."""
    from renecinfra.recovery.targets import show

    lost = (
        "what the archive has not got yet"
        if made.lost is None
        else f"what was committed in the last {duration(made.lost)}"
    )
    first = show(made.window.first) if made.window.first else "an unknown moment"
    rows = [
        ("target", made.target),
        ("from", f"the archive {made.origin.server}, which reaches back to {first}"),
        ("lost", lost),
        ("room", f"{made.instances} instances with {size(made.storage)} of storage each, beside the others"),
        ("stops", f"{made.kept}, when you confirm a second time: writers wait until the pooler has changed"),
        ("kept", f"{made.kept}, stopped, until `restore {made.environment} --finish`"),
    ]
    console.table(
        ("", ""), [(label, plain(text)) for label, text in rows], title=f"Restore of {made.environment}"
    )


def _show(console: Console, result: ClusterRestoreResult) -> int:
    name = result.environment
    if console.json_output:
        console.json(result.document())
        return 0
    for finding in result.findings:
        console.result(f"{MARKS['ok']} {plain(finding.name)}: {plain(finding.detail)}", markup=True)
    words = {
        "restore": f"{name} is restored to {result.target}",
        "undo": f"{name} has its old database again",
        "abort": f"what was restored beside is gone; the database of {name} was not touched",
        "finish": f"the other database of {name} is gone; its archive is in the bucket",
    }[result.action]
    console.result(f"{words}: {result.serves} serves ({duration(result.seconds)})")
    if result.backup:
        console.result(f"  backup       {result.backup} is being taken")
    if result.kept:
        if result.action == "restore":
            console.result(f"  go back      renecinfra restore {name} --undo")
        console.result(f"  keep it      renecinfra restore {name} --finish   ({result.kept})")
    console.result(f"  next         renecinfra status {name}")
    return 0


def list_backups(session: ClusterSession, console: Console) -> int:
    """`backup list`."""
    from renecinfra.platforms.kubernetes import preflight
    from renecinfra.provision.kubernetes.database_backups import window
    from renecinfra.recovery.targets import show

    preflight.require_context(session.cluster)
    places = session.places()
    found = window(session, places.current.server)
    if console.json_output:
        console.json(
            {
                "environment": session.name,
                "ok": found.first is not None,
                "clusters": places.document(),
                **found.document(),
            }
        )
        return 0 if found.first is not None else 1
    rows = [
        (
            MARKS["ok" if one.id else "failed" if one.phase == "failed" else "off"],
            plain(one.name),
            plain(one.cluster),
            one.phase,
            show(one.stopped) if one.stopped else "",
            plain(one.reason or ""),
        )
        for one in found.backups
    ]
    console.table(("", "backup", "of", "phase", "ended", "reason"), rows, title=session.name)
    for place in places.places:
        console.result(f"{place.name} is {place.role}, its archive is {place.server}")
    if found.first is None:
        console.result(f"{MARKS['failed']} no moment can be restored", markup=True)
        return 1
    console.result(f"{MARKS['ok']} any moment from {show(found.first)} on can be restored", markup=True)
    return 0


def create(session: ClusterSession, console: Console, reason: str) -> int:
    """`backup create`."""
    from renecinfra.platforms.kubernetes import preflight
    from renecinfra.provision.kubernetes.database_backups import take

    with session.locked("backup create", arguments()) as run, run.step("backup"):
        preflight.require_context(session.cluster)
        name = take(session, session.places().current.name, reason)
    if console.json_output:
        console.json({"environment": session.name, "name": name})
    else:
        console.result(f"{name} is being taken; `renecinfra backup {session.name} list` shows how far it is")
    return 0
