"""Commands that say what happened to an environment: by us, and without us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from renecinfra.cli.aws import open_aws
from renecinfra.cli.options import Debug, Env, Json, Quiet, arguments, open_any, open_console

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.journal import RunRecord
    from renecinfra.provision.drift import Drift


def drift(
    env: Env,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Show what changed since the last `up` without us: resources, files, services, alert rules, objects.

    It says who could have done it, as far as the platform knows. Changes nothing. Exits 2 when something
    has, which a scheduled job can alert on.

    Example: renecinfra drift local --json
    """
    from renecinfra.console import plain

    console = open_console(json_output=json_output, quiet=quiet)
    found = _look(env, console)
    if json_output:
        console.json(found.document())
        return 2 if found.items else 0
    if found.items:
        rows = [
            (one.layer, plain(one.address), plain(one.seen), plain(one.who or ""), one.when or "")
            for one in found.items
        ]
        console.table(("layer", "what", "seen", "who could have", "when"), rows, title=f"Drift of {env}")
    for what, why in found.skipped.items():
        console.warn(f"{what}: not looked at: {why}")
    console.result(
        f"{len(found.items)} things drifted" if found.items else f"{env} is as the last `up` left it"
    )
    return 2 if found.items else 0


def _look(env: str, console: Console) -> Drift:
    from renecinfra.provision import drifting
    from renecinfra.provision.session import Session

    if (cloud := open_aws(env, console)) is not None:
        from renecinfra.provision.aws import drifting as in_aws

        return in_aws.drift(cloud, arguments())
    session = open_any(env, console)
    if isinstance(session, Session):
        return drifting.drift(session, arguments())
    from renecinfra.provision.kubernetes import drifting as on_cluster

    return on_cluster.drift(session, arguments())


def history(
    env: Env,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many runs.")] = 20,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Show who did what to an environment and when, from its journal; the newest first.

    Of an environment in AWS or on a cluster it has the runs of every machine, and of this machine also those
    that only looked.

    Example: renecinfra history local -n 5
    """
    from renecinfra.console import plain
    from renecinfra.provision import history as past

    console = open_console(json_output=json_output)
    runs = _runs(env, console, limit)
    if json_output:
        console.json({"environment": env, "runs": [past.document(run) for run in runs]})
        return
    rows = [
        (
            f"{run.started:%Y-%m-%d %H:%M:%S}",
            plain(" ".join(run.argv)),
            plain(f"{run.runner.user}@{run.runner.host}"),
            "" if run.seconds is None else f"{run.seconds:.1f} s",
            plain(past.result(run)),
        )
        for run in runs
    ]
    console.table(("UTC", "command", "who", "took", "result"), rows)
    if not runs:
        console.result(f"nothing was done to {env} here yet")


def _runs(env: str, console: Console, limit: int) -> list[RunRecord]:
    from renecinfra.errors import RenecError
    from renecinfra.journal import Journal
    from renecinfra.provision.history import history as of_this_machine
    from renecinfra.provision.remote_journal import everybodys
    from renecinfra.provision.session import Session

    session = open_aws(env, console) or open_any(env, console)
    if isinstance(session, Session):
        return of_this_machine(session.paths, limit)
    try:
        return everybodys(Journal(session.paths.journal), session.runs, limit)
    except RenecError as error:
        console.warn(f"runs of this machine only: {error.message}")
        return of_this_machine(session.paths, limit)
