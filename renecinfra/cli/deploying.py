"""Commands that change which version of the application runs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from renecinfra.cli.options import (
    Debug,
    Env,
    Json,
    Quiet,
    Set,
    Yes,
    arguments,
    open_console,
    open_deployed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from renecinfra.console import Console
    from renecinfra.provision.deployment import DeployPlan, DeployResult


def deploy(
    env: Env,
    versions: Annotated[
        list[str],
        typer.Argument(
            metavar="WORKLOAD=VERSION…",
            help="On a cluster an image pinned by its digest (IMAGE@sha256:…), on local a directory.",
        ),
    ],
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="rolling or blue-green; the profile's if none.")
    ] = None,
    bake: Annotated[
        str | None,
        typer.Option("--bake", metavar="TIME", help="How long the new version is watched, such as 5m."),
    ] = None,
    overrides: Set = None,
    yes: Yes = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Bring new versions of workloads to the clients, and go back by itself if they are not fit.

    The new version is watched against the SLO for the bake time. What is deployed stays until the profile
    names another image.

    Example: renecinfra deploy onprem api=registry.example.org/renec/api:1.5.0@sha256:DIGEST --strategy
    blue-green
    """
    from renecinfra.provision import deploying as local
    from renecinfra.provision.kubernetes import deploying as cluster
    from renecinfra.provision.session import Session

    console = open_console(json_output=json_output, quiet=quiet)
    wanted, watched = _pairs(versions), None if bake is None else _duration(bake)
    chosen, confirm = _strategy(strategy), _confirmation(console, yes=yes)
    with open_deployed(env, console, overrides) as session:
        if isinstance(session, Session):
            _refuse_slots(env, chosen)
            return _show(console, local.deploy(session, wanted, confirm, arguments(), bake=watched))
        result = cluster.deploy(session, wanted, confirm, arguments(), strategy=chosen, bake=watched)
        return _show(console, result)


def rollback(
    env: Env,
    to: Annotated[
        int | None,
        typer.Option(
            "--to", metavar="REVISION", help="A revision of `revisions`; the newest with others if none."
        ),
    ] = None,
    yes: Yes = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Bring back the images of an earlier revision; the database stays as it is.

    Example: renecinfra rollback onprem --to 7
    """
    from renecinfra.provision import deploying as local
    from renecinfra.provision.kubernetes import deploying as cluster
    from renecinfra.provision.session import Session

    console = open_console(json_output=json_output, quiet=quiet)
    confirm = _confirmation(console, yes=yes)
    with open_deployed(env, console) as session:
        if isinstance(session, Session):
            return _show(console, local.rollback(session, to, confirm, arguments()))
        return _show(console, cluster.rollback(session, to, confirm, arguments()))


def revisions(
    env: Env,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """List the revisions of the application that `rollback` can bring back.

    Example: renecinfra revisions onprem
    """
    from renecinfra.console import plain
    from renecinfra.provision import deploying as local
    from renecinfra.provision.kubernetes import deploying as cluster
    from renecinfra.provision.session import Session

    console = open_console(json_output=json_output)
    with open_deployed(env, console) as session:
        found = local.history(session) if isinstance(session, Session) else cluster.history(session)
    documents = [one.document() for one in found]
    if json_output:
        console.json(documents)
        return 0
    keys = ("revision", "updated", "status", "description")
    rows = [tuple(plain(one[key]) for key in keys) for one in documents]
    console.table(("revision", "when", "state", "what"), rows, title=env)
    return 0


def _pairs(words: list[str]) -> dict[str, str]:
    from renecinfra.errors import UsageError

    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or not value or name in found:
            problem = "is named twice" if name in found else "is not WORKLOAD=IMAGE"
            hint = "for example api=registry.example.org/renec/api@sha256:DIGEST"
            raise UsageError("usage", f"{word} {problem}", hint=hint)
        found[name] = value
    return found


def _strategy(word: str | None) -> Any:
    from renecinfra.errors import UsageError

    if word not in (None, "rolling", "blue-green"):
        raise UsageError("usage", f"--strategy {word} is not known", hint="write rolling or blue-green")
    return word


def _duration(text: str) -> timedelta:
    from renecinfra.errors import UsageError
    from renecinfra.profiles.base import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError("usage", f"--bake {error}", hint="0s watches nothing") from None


def _refuse_slots(env: str, strategy: Any) -> None:
    from renecinfra.errors import UsageError

    if strategy == "blue-green":
        raise UsageError(
            "strategy-unfit",
            f"{env} runs on local, where each process has one port: there is no second slot",
            hint="use --strategy rolling: processes are replaced one by one, watched, and brought back",
        )


def _confirmation(console: Console, *, yes: bool) -> Callable[[DeployPlan], None]:
    return lambda planned: _confirm(console, planned, yes=yes)


def _confirm(console: Console, planned: DeployPlan, *, yes: bool) -> None:
    from renecinfra.console import plain

    if not console.json_output:
        rows = [(plain(name), plain(old), plain(new)) for name, (old, new) in planned.images.items()]
        title = f"{planned.environment}: {planned.strategy}, watched for {planned.bake:.0f} s"
        console.table(("workload", "now", "then"), rows, title=title)
    if not yes:
        console.confirm(f"Deploy this to {planned.environment}?")


def _show(console: Console, result: DeployResult) -> int:
    planned = result.plan
    if console.json_output:
        console.json(result.document())
    elif planned.empty:
        console.result(f"{planned.environment} runs all of it already; nothing was changed")
    else:
        names = ", ".join(planned.images)
        console.result(
            f"{planned.environment}: {names} deployed after {result.seconds:.1f} s "
            f"(revision {result.revision})"
        )
        console.result(f"  back  renecinfra rollback {planned.environment}")
    return 0
