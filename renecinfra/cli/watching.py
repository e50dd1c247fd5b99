"""Commands that look at an environment and change nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from renecinfra.cli import aws
from renecinfra.cli.options import Debug, Env, Json, open_any, open_console, open_deployed
from renecinfra.errors import SecretsError

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.platforms.local.status import EnvironmentStatus
    from renecinfra.provision.session import Session


def status(
    env: Env,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.2, max=3600, help="Seconds between two looks of --watch.")
    ] = 2.0,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Show every service, the database's roles and lag, the queues, and the last harvest.

    Exits 0 when all is well and 1 when something is not.

    Example: renecinfra status local --watch
    """
    from renecinfra.cli import clusters
    from renecinfra.cli.presenting import show_status
    from renecinfra.provision.session import Session

    console = open_console(json_output=json_output)
    if (cloud := aws.open_aws(env, console)) is not None:
        return aws.status(cloud, console, watch=watch, interval=interval)
    session = open_any(env, console)
    if not isinstance(session, Session):
        return clusters.status(session, console, watch=watch, interval=interval)
    while True:
        seen = _look(session)
        if watch and not json_output:
            console.clear()
        if json_output:
            console.json(seen.document())
        else:
            show_status(console, seen)
        if not watch:
            return 0 if seen.ok else 1
        time.sleep(interval)


def _look(session: Session) -> EnvironmentStatus:
    from renecinfra.platforms.local.status import read_status

    try:
        secrets, refusal = session.existing_secrets(), None
    except SecretsError as error:
        secrets, refusal = {}, error.message
    seen = read_status(session.environment, session.supervision, secrets)
    return seen if refusal is None else replace(seen, problems=(refusal, *seen.problems))


def logs(
    env: Env,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="A service, as `status` names it.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, max=100_000, help="How many of the last.")
    ] = 50,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Show the last lines of a service's log.

    Example: renecinfra logs local edge -f
    """
    from renecinfra.cli import clusters
    from renecinfra.provision.session import Session

    console = open_console()
    with open_deployed(env, console) as session:
        if isinstance(session, Session):
            _logs_here(session, console, service, follow=follow, lines=lines)
        else:
            clusters.logs(session, console, service, follow=follow, lines=lines)


def _logs_here(session: Session, console: Console, service: str, *, follow: bool, lines: int) -> None:
    from renecinfra.provision.operations import require_service

    require_service(session, service)
    try:
        session.existing_secrets()
    except SecretsError as error:
        # Logs are what helps then; services log no secrets, and what is known of them is hidden all the same.
        console.warn(f"the secrets to hide are not known: {error.message}")
    for line in session.supervision.tail(service, lines):
        console.page(line)
    if follow:
        for _, line in session.supervision.follow([service]):
            console.page(line)
