"""`backup ENV`: take, list, verify and expire backups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
    from renecinfra.provision.backups import BackupWork

app = typer.Typer(
    help="Take, list, verify and expire an environment's backups, and name points to restore to.",
    no_args_is_help=True,
)


@app.callback()
def _environment(context: typer.Context, env: Env) -> None:
    """Take, list, verify and expire an environment's backups, and name points to restore to."""
    context.obj = env


def _open(context: typer.Context, console: Console) -> BackupWork:
    from renecinfra.cli import aws_recovery, cluster_recovery
    from renecinfra.provision.backups import open_backups

    if (cloud := open_aws(context.obj, console)) is not None:
        aws_recovery.refuse(
            cloud,
            f"`backup {context.info_name}`",
            "AWS has `backup ENV list`, `create` and `expire --backup`; `up` checks backups and copies, and "
            "a restore that is ended by --abort proves that they can be used",
        )
    if (site := open_cluster(context.obj, console)) is not None:
        cluster_recovery.refuse(
            site,
            f"`backup {context.info_name}`",
            "a cluster has `backup ENV list` and `create`; the operator expires backups after "
            "backups.retention, and a restore that is ended by --abort proves that they can be used",
        )
    return open_backups(open_environment(context.obj, console))


@app.command()
def create(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type",
            help="full: everything; diff: since the last full one; incr (the default): since the last one. "
            "AWS has snapshots alone.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, as `list` shows it.")] = "by hand",
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Take a backup of the database now, into every repository.

    Example: renecinfra backup local create --type full
    """
    from renecinfra.cli.backup_presenting import show_taken

    console = open_console(json_output=json_output, quiet=quiet)
    if (cloud := open_aws(context.obj, console)) is not None:
        from renecinfra.cli import aws_recovery

        if kind is not None:
            aws_recovery.refuse(cloud, "--type", "leave it out: RDS takes snapshots, and no other backups")
        return aws_recovery.create(cloud, console, reason)
    if (site := open_cluster(context.obj, console)) is not None:
        from renecinfra.cli import cluster_recovery

        if kind is not None:
            cluster_recovery.refuse(site, "--type", "leave it out: the plugin takes whole backups alone")
        return cluster_recovery.create(site, console, reason)
    work = _open(context, console)
    show_taken(console, work, work.create(kind or "incr", reason, arguments()))
    return 0


@app.command("list")
def list_backups(
    context: typer.Context,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Show backups, restore points, and to which moments a restore is possible; exits 1 where something is
    wrong.

    Example: renecinfra backup local list
    """
    from renecinfra.cli.backup_presenting import show_list
    from renecinfra.provision.backup_list import listing

    console = open_console(json_output=json_output)
    if (cloud := open_aws(context.obj, console)) is not None:
        from renecinfra.cli import aws_recovery

        return aws_recovery.list_backups(cloud, console)
    if (site := open_cluster(context.obj, console)) is not None:
        from renecinfra.cli import cluster_recovery

        return cluster_recovery.list_backups(site, console)
    seen = listing(_open(context, console))
    if json_output:
        console.json(seen.document())
    else:
        show_list(console, seen)
    return 0 if seen.ok else 1


@app.command()
def verify(
    context: typer.Context,
    level: Annotated[
        int,
        typer.Option(
            "--level",
            min=0,
            max=2,
            help="0: the archive's age and gaps; 1: every checksum, too; 2: a restore and its contents, too.",
        ),
    ] = 1,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Find out whether the backups can be relied on; exits 9 with what is wrong where they cannot.

    Example: renecinfra backup local verify --level 2
    """
    from renecinfra.cli.backup_presenting import show_verified
    from renecinfra.recovery.jobs import VerifyError

    console = open_console(json_output=json_output)
    try:
        verified = _open(context, console).verify(level, arguments())
    except VerifyError as error:
        if not json_output:
            show_verified(console, error.verified)
            raise
        show_verified(console, error.verified)
        return int(error.exit_code)
    show_verified(console, verified)
    return 0


@app.command()
def expire(
    context: typer.Context,
    backup: Annotated[
        str | None,
        typer.Option("--backup", metavar="LABEL", help="This one, with those that depend on it."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Yes = False,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Remove backups that retention does not hold any more, or one; and the WAL that only they needed.

    Example: renecinfra backup local expire --dry-run
    """
    from renecinfra.cli.backup_presenting import ask_expire, show_expired

    console = open_console(json_output=json_output)
    if backup is not None and not dry_run and (cloud := open_aws(context.obj, console)) is not None:
        from renecinfra.cli import aws_recovery

        return aws_recovery.expire(cloud, console, backup, yes=yes)
    work = _open(context, console)
    gone = work.expire(
        backup,
        lambda going: ask_expire(console, context.obj, going, yes=yes),
        arguments(),
        dry_run=dry_run,
    )
    show_expired(console, context.obj, gone, dry_run=dry_run)
    return 0


@app.command()
def point(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that was never used before.")],
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Name this moment, so that `restore --restore-point NAME` can go back to it.

    Example: renecinfra backup local point before-tuesday
    """
    console = open_console(json_output=json_output)
    made = _open(context, console).restore_point(name, arguments())
    if json_output:
        console.json(made.document())
    else:
        console.result(f"{made.name} is at {made.lsn}, {made.at:%Y-%m-%d %H:%M:%S} UTC")
    return 0


@app.command()
def broker(
    context: typer.Context,
    restore: Annotated[
        str | None,
        typer.Option("--restore", metavar="NAME", help="Put this copy in the place of the queues."),
    ] = None,
    yes: Yes = False,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """List the copies of the broker's queues, which each backup makes, or go back to one.

    Example: renecinfra backup local broker --restore 20261125-093000
    """
    from renecinfra.cli.backup_presenting import ask_broker, show_brokers
    from renecinfra.provision.broker import copies, restore_broker

    console = open_console(json_output=json_output)
    work = _open(context, console)
    if restore is None:
        show_brokers(console, context.obj, copies(work))
        return 0
    kept = restore_broker(
        work, restore, lambda wanted: ask_broker(console, context.obj, wanted, yes=yes), arguments()
    )
    if json_output:
        console.json({"environment": context.obj, "restored": restore, "kept": str(kept)})
    else:
        console.result(f"the broker has the queues of {restore} again; what it had before is in {kept}")
    return 0
