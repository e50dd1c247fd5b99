"""The application: every command, and the options that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from renecinfra.cli import (
    auditing,
    aws,
    backup,
    ci,
    deploying,
    drill,
    environments,
    failover,
    lifecycle,
    machine,
    observing,
    restore,
    secrets,
    watching,
)

# Typer bundles the library below it since 0.26; this finds its base error in either form.
usage_error_type: Any = next(
    base
    for base in reversed(typer.BadParameter.__mro__)
    if issubclass(base, Exception) and hasattr(base, "format_message")
)

app = typer.Typer(
    name="renecinfra",
    help="Take RENEC Harvester from a YAML profile to a running, watched, recoverable environment.",
    epilog="Example: renecinfra up local    Every command takes --report FILE: what it did, as JSON.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from renecinfra import __version__

        typer.echo(f"renecinfra {__version__}")
        raise typer.Exit


@app.callback()
def _shared(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Shared options."""


app.add_typer(environments.app, name="env")
app.add_typer(secrets.app, name="secrets")
app.add_typer(backup.app, name="backup")
app.add_typer(aws.states, name="state")
app.add_typer(ci.app, name="ci")
_COMMANDS: tuple[Callable[..., int | None], ...] = (
    lifecycle.plan,
    lifecycle.up,
    lifecycle.down,
    deploying.deploy,
    deploying.rollback,
    deploying.revisions,
    watching.status,
    watching.logs,
    observing.drift,
    observing.history,
    lifecycle.restart,
    lifecycle.render,
    restore.restore,
    failover.failover,
    drill.drill,
    aws.bootstrap,
    aws.unlock,
    aws.cluster_token,
    auditing.audit,
    machine.doctor,
)
for _command in _COMMANDS:
    app.command()(_command)
