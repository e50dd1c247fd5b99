"""`restore`: back to any moment of the window, beside the running database, with a way back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from renecinfra.cli.aws import open_aws
from renecinfra.cli.options import (
    Debug,
    Env,
    Json,
    Quiet,
    Yes,
    arguments,
    open_cluster,
    open_console,
    open_environment,
)

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.provision.restore_result import RestoreResult
    from renecinfra.provision.session import Session
    from renecinfra.provision.undoing import ConfirmState
    from renecinfra.recovery.engine.state import RestoreState
    from renecinfra.recovery.plan import RestorePlan
    from renecinfra.recovery.targets import RecoveryTarget


def restore(
    env: Env,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TIME",
            help="A moment: '2026-11-24 10:31:00 UTC', 'yesterday 10:31', '10 minutes ago'. "
            "Without a zone it is local time.",
        ),
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="The newest state that can still be had.")] = False,
    backup: Annotated[
        str | None,
        typer.Option("--backup", metavar="ID", help="The end of one backup."),
    ] = None,
    lsn: Annotated[str | None, typer.Option("--lsn", help="A place in the WAL.")] = None,
    xid: Annotated[
        str | None,
        typer.Option("--xid", help="A transaction, its commit included."),
    ] = None,
    restore_point: Annotated[
        str | None,
        typer.Option(
            "--restore-point", metavar="NAME", help="A named point, as renecinfra makes before every change."
        ),
    ] = None,
    from_backup: Annotated[
        str | None,
        typer.Option(
            "--from-backup", metavar="ID", help="Begin with this backup, not with the newest before."
        ),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="NAME", help="Replace the database of environment NAME, not of ENV."),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="T",
            help="Bring back this table only, and replace nothing; can be given again.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and stop there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a restore that was cut off.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Go back to the database before it.")] = False,
    abort: Annotated[
        bool,
        typer.Option("--abort", help="Remove what was restored beside; the running one stays."),
    ] = False,
    finish: Annotated[
        bool,
        typer.Option("--finish", help="Remove the database before it for good."),
    ] = False,
    yes: Yes = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Restore the database to a moment: plan, confirm, beside, check, cut over, protect.

    The running database serves until the restored one takes its place, and is kept until --finish.

    Example: renecinfra restore prod --to '2026-11-24 10:31:00 UTC'
    """
    from renecinfra.provision import restoring, undoing

    console = open_console(json_output=json_output, quiet=quiet)
    targets = (to, latest or None, backup, lsn, xid, restore_point)
    actions = {"--resume": resume, "--undo": undo, "--abort": abort, "--finish": finish}
    action = _one_action(
        actions, any(one is not None for one in targets) or dry_run or bool(from_backup or into or tables)
    )
    where = {
        "to": to,
        "latest": latest,
        "backup": backup,
        "lsn": lsn,
        "xid": xid,
        "restore_point": restore_point,
    }
    own = {"--into": into, "--table": tables, "--from-backup": from_backup}
    code = _elsewhere(env, console, action, where, own, dry_run=dry_run, yes=yes)
    if code is not None:
        return code
    session = open_environment(into or env, console)
    if action == "--finish":
        return _finish(console, session, yes=yes)
    if action is not None:
        result = {
            "--resume": lambda: restoring.resume(session, arguments()),
            "--undo": lambda: undoing.undo(session, _asking(console, session, yes=yes), arguments()),
            "--abort": lambda: undoing.abort(session, _asking(console, session, yes=yes), arguments()),
        }[action]()
        return _show(console, session, result, action)
    from renecinfra.errors import UsageError
    from renecinfra.recovery.targets import choose_target

    target = choose_target(to=to, latest=latest, backup=backup, lsn=lsn, xid=xid, restore_point=restore_point)
    if tables and into:
        raise UsageError(
            "restore-target",
            "--table and --into cannot be given together",
            hint="restore all of it --into another environment, and take the table from there",
        )
    if dry_run:
        return _dry_run(console, session, target, from_backup, env if into else None)
    if tables:
        return _tables(console, session, target, tables, from_backup, yes=yes)
    done = restoring.restore(
        session,
        target,
        lambda made: _confirm(console, made, session.name, yes=yes),
        arguments(),
        from_backup=from_backup,
        source=env if into else None,
    )
    return _show(console, session, done, None)


def _elsewhere(
    env: str,
    console: Console,
    action: str | None,
    where: dict[str, Any],
    own: Mapping[str, object],
    *,
    dry_run: bool,
    yes: bool,
) -> int | None:
    """The same in AWS or on a cluster; None where the environment is local. ``own`` is for a local one."""
    from renecinfra.cli import aws_recovery, cluster_recovery
    from renecinfra.recovery.targets import choose_target

    if (cloud := open_aws(env, console)) is not None:
        refuse, act, begin = (
            partial(aws_recovery.refuse, cloud),
            partial(aws_recovery.act, cloud, console),
            partial(aws_recovery.restore, cloud, console),
        )
    elif (site := open_cluster(env, console)) is not None:
        refuse, act, begin = (
            partial(cluster_recovery.refuse, site),
            partial(cluster_recovery.act, site, console),
            partial(cluster_recovery.restore, site, console),
        )
    else:
        return None
    for option, value in own.items():
        if value:
            refuse(
                option,
                "restore, copy what you need from the restored database before you confirm the second time, "
                "and remove it with --abort",
            )
    if action is not None:
        return act(action, yes=yes)
    return begin(choose_target(**where, snapshots=True), dry_run=dry_run, yes=yes)


def _one_action(actions: dict[str, bool], targeted: bool) -> str | None:
    """The one thing to do to a restore that there is; None where a new one is asked for.

    Raises:
        UsageError: more than one is asked for.
    """
    from renecinfra.errors import UsageError

    chosen = [name for name, given in actions.items() if given]
    if len(chosen) > 1 or (chosen and targeted):
        raise UsageError(
            "restore-target",
            f"{' and '.join([*chosen, *(['a target'] if targeted else [])])} cannot be given together",
            hint="a target begins a restore; --resume, --undo, --abort and --finish are for the one "
            "that is there",
        )
    return chosen[0] if chosen else None


def _dry_run(
    console: Console, session: Session, target: RecoveryTarget, from_backup: str | None, source: str | None
) -> int:
    from renecinfra.cli.recovery_views import show_restore_plan
    from renecinfra.provision import restoring

    with session.locked("restore", arguments()):
        made = restoring.plan(session, target, from_backup=from_backup, source=source)
    if console.json_output:
        console.json(made.document())
    else:
        show_restore_plan(console, made)
        console.result("nothing was changed: this was a dry run")
    return 0


def _confirm(console: Console, made: RestorePlan, name: str, *, yes: bool) -> None:
    from renecinfra.cli.recovery_views import show_restore_plan

    if not console.json_output:
        show_restore_plan(console, made)
    if not yes:
        whose = "the restored one" if name == made.environment else f"that of {made.environment}, restored"
        console.confirm(f"This replaces the database of {name} by {whose}.", expect=name)


def _tables(
    console: Console,
    session: Session,
    target: RecoveryTarget,
    names: list[str],
    from_backup: str | None,
    *,
    yes: bool,
) -> int:
    from renecinfra.cli.recovery_views import show_restore_plan
    from renecinfra.provision.returning_tables import return_tables

    def confirm(made: RestorePlan) -> None:
        if not console.json_output:
            show_restore_plan(console, made)
        if not yes:
            console.confirm(f"This brings {', '.join(names)} back into {session.name}, and replaces nothing.")

    done = return_tables(session, target, names, confirm, arguments(), from_backup=from_backup)
    if console.json_output:
        console.json(done.document())
    for one in done.tables if not console.json_output else ():
        console.result(f"{one.name} is back as {one.where}, with {one.rows} rows")
    return 0


def _asking(console: Console, session: Session, *, yes: bool) -> ConfirmState:
    def ask(state: RestoreState, words: str) -> None:
        if not yes:
            console.confirm(f"{words} restore {state.id} to {state.target}", expect=session.name)

    return ask


def _finish(console: Console, session: Session, *, yes: bool) -> int:
    from renecinfra.provision import undoing

    size = undoing.finish(session, _asking(console, session, yes=yes), arguments())
    if console.json_output:
        console.json({"environment": session.name, "freed_bytes": size})
    else:
        console.result(f"the old database of {session.name} is gone: {size / 2**20:.0f} MiB are free again")
    return 0


def _show(console: Console, session: Session, result: RestoreResult, action: str | None) -> int:
    from renecinfra.cli.recovery_views import show_restored

    if console.json_output:
        console.json(result.document() | {"action": (action or "--restore").removeprefix("--")})
    else:
        show_restored(console, session.name, result, action)
    return 0
