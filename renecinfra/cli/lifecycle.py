"""Commands that change an environment, or say what would change."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from renecinfra.cli import aws
from renecinfra.cli.options import (
    Debug,
    Env,
    Json,
    Quiet,
    Set,
    SomeEnv,
    Yes,
    arguments,
    open_any,
    open_console,
    open_environment,
)

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.provision.planning import UpPlan


class PlanFormat(StrEnum):
    """How a plan is shown."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def plan(
    env: SomeEnv = None,
    overrides: Set = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 2 when there are changes, as Terraform does.")
    ] = False,
    form: Annotated[
        PlanFormat, typer.Option("--format", help="For people, for a pull request, or for machines.")
    ] = PlanFormat.TABLE,
    every: Annotated[
        bool, typer.Option("--all", help="Plan every environment, side by side; one exit code for all.")
    ] = False,
    changed_since: Annotated[
        str | None,
        typer.Option(
            "--changed-since", metavar="REF", help="Plan what files concern that changed since then."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Save the plan, signed, for `up --plan FILE`."),
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Show everything that `up` would do, by risk, and change nothing.

    Example: renecinfra plan local --detailed-exitcode
    """
    from renecinfra.cli import clusters
    from renecinfra.cli.planning import plan_several, present_plan, require_one_choice
    from renecinfra.cli.presenting import show_plan
    from renecinfra.provision.approving import save
    from renecinfra.provision.planning import make_plan
    from renecinfra.provision.session import Session

    form = PlanFormat.JSON if json_output else form
    console = open_console(json_output=form is PlanFormat.JSON, quiet=quiet)
    require_one_choice(env, changed_since, out, every=every)
    if env is None:
        code = plan_several(console, form, overrides or [], changed_since)
        return code if detailed_exitcode or code == 1 else 0
    if (cloud := aws.open_aws(env, console, overrides)) is not None:
        return aws.plan(cloud, console, form, out, detailed_exitcode=detailed_exitcode)
    session = open_any(env, console, overrides)
    if not isinstance(session, Session):
        return clusters.plan(session, console, form, out, detailed_exitcode=detailed_exitcode)
    with session.locked("plan", arguments()):
        made = make_plan(session)
        made.plan_file.unlink(missing_ok=True)
    if out is not None:
        save(session, made, out)
    present_plan(console, made, form, show_plan)
    return 2 if detailed_exitcode and not made.empty else 0


def up(
    env: Env,
    overrides: Set = None,
    reviewed: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Apply what this saved plan has, or nothing; asks nobody."
        ),
    ] = None,
    allow_stateful: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-stateful", metavar="ADDRESS", help="Let this change lose data; can be given again."
        ),
    ] = None,
    yes: Yes = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Bring the environment to its profile: plan, confirm, apply, hooks, verify.

    Safe to repeat: an interrupted `up` goes on where it was, and one with nothing to do says so.

    Example: renecinfra up local --set workloads.api.replicas=3
    """
    from renecinfra.cli import clusters
    from renecinfra.cli.presenting import show_up
    from renecinfra.provision.approving import Approval
    from renecinfra.provision.bring_up import up as bring_up
    from renecinfra.provision.session import Session

    console = open_console(json_output=json_output, quiet=quiet)

    def approved(ask: Callable[[Any], None]) -> Approval:
        return Approval(ask, reviewed, allow_stateful or (), yes)

    if (cloud := aws.open_aws(env, console, overrides)) is not None:
        return aws.up(cloud, console, approved, yes=yes)
    session = open_any(env, console, overrides)
    if not isinstance(session, Session):
        return clusters.up(session, console, approved, yes=yes)
    named = session.profile.protection.protected
    approval = approved(lambda made: _ask(console, made, yes=yes, named=named))
    result = bring_up(session, approval, arguments())
    if json_output:
        console.json(result.document())
    else:
        show_up(console, session, result)
    return 0


def _ask(console: Console, made: UpPlan, *, yes: bool, named: bool) -> None:
    """Show the plan and ask; of a protected environment, for its name."""
    from renecinfra.cli.presenting import show_plan

    if not console.json_output:
        show_plan(console, made)
    if not yes:
        console.confirm(f"Apply this to {made.environment}?", expect=made.environment if named else None)


def down(
    env: Env,
    keep_data: Annotated[
        bool,
        typer.Option("--keep-data", help="Of a local environment: keep databases, secrets and certificates."),
    ] = False,
    delete_backups: Annotated[
        bool, typer.Option("--delete-backups", help="Delete the backups, too, and what decrypts them.")
    ] = False,
    yes: Yes = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Stop the environment and delete its data; its backups stay unless they are to go, too.

    What is deleted cannot be brought back, so the environment's name has to be typed, or --yes given.
    In AWS, the state stays, too.

    Example: renecinfra down local --keep-data
    """
    from renecinfra.cli import clusters
    from renecinfra.cli.presenting import ask_down, show_down
    from renecinfra.provision.session import Session
    from renecinfra.provision.tear_down import down as tear_down
    from renecinfra.review.guards import require_question

    console = open_console(json_output=json_output, quiet=quiet)
    if (cloud := aws.open_aws(env, console)) is not None:
        if keep_data:
            raise typer.BadParameter(
                "is for local environments; in AWS backups are kept anyway", param_hint="--keep-data"
            )
        return aws.down(cloud, console, yes=yes, delete_backups=delete_backups)
    session = open_any(env, console)
    if not isinstance(session, Session):
        if delete_backups:
            raise typer.BadParameter(
                "is not for a cluster, whose backups are in a bucket", param_hint="--delete-backups"
            )
        return clusters.down(session, console, keep_data=keep_data, yes=yes)
    require_question(session.profile, yes=yes, hint="leave --yes away and type its name when asked")
    result = tear_down(
        session,
        lambda planned: ask_down(console, planned, yes=yes),
        arguments(),
        keep_data=keep_data,
        delete_backups=delete_backups,
    )
    if json_output:
        console.json(result.document())
    else:
        show_down(console, result)
    return 0


def restart(
    env: Env,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="A service, as `status` names it.")],
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Restart one service and wait until it is healthy.

    Example: renecinfra restart local api-1
    """
    from renecinfra.provision.operations import restart as restart_service

    console = open_console(json_output=json_output)
    session = open_environment(env, console)
    seconds = restart_service(session, service, arguments())
    if json_output:
        console.json({"environment": env, "service": service, "seconds": round(seconds, 2)})
    else:
        console.result(f"{service} is healthy again after {seconds:.1f} s")
    return 0


def render(
    env: Env,
    overrides: Set = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if the build directory is not current.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change.")] = False,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Render the profile to .renecinfra/ENV/build: configuration and Terraform, no secrets.

    For a cluster, these are the objects by which it gets its secrets and certificates.

    Example: renecinfra render local --diff
    """
    from renecinfra.cli.presenting import show_render
    from renecinfra.provision.clusters import render as render_environment
    from renecinfra.workspace import find_workspace

    console = open_console(json_output=json_output)
    result = render_environment(
        find_workspace(), env, console, overrides=overrides or (), write=not (check or diff)
    )
    show_render(console, result, diff=diff)
    return 1 if check and result.changes else 0
