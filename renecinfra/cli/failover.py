"""`failover`: change to the replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from renecinfra.cli.options import (
    Debug,
    Env,
    Json,
    Quiet,
    Yes,
    arguments,
    open_console,
    open_environment,
)

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.recovery.driver import FailoverPlan


def failover(
    env: Env,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and stop there.")] = False,
    yes: Yes = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Make the replica the primary, and the old primary's place a new replica.

    A primary that still runs is stopped once the replica has everything: then nothing is lost.

    Example: renecinfra failover prod
    """
    from renecinfra.cli.recovery_views import show_failover_plan, show_restored
    from renecinfra.provision import failing_over

    console = open_console(json_output=json_output, quiet=quiet)
    session = open_environment(env, console)
    if dry_run:
        with session.locked("failover", arguments()):
            planned = failing_over.plan(session)
        if json_output:
            console.json(planned.document())
        else:
            show_failover_plan(console, planned)
            console.result("nothing was changed: this was a dry run")
        return 0
    result = failing_over.failover(session, lambda made: _confirm(console, made, yes=yes), arguments())
    if json_output:
        console.json(result.document() | {"action": "failover"})
    else:
        show_restored(console, env, result, "failover")
    return 0


def _confirm(console: Console, made: FailoverPlan, *, yes: bool) -> None:
    from renecinfra.cli.recovery_views import show_failover_plan

    if not console.json_output:
        show_failover_plan(console, made)
    if not yes:
        console.confirm(f"This makes the replica of {made.environment} its primary.", expect=made.environment)
