"""Commands of environments in AWS, and what plan, up, down and status are for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from renecinfra.cli.options import Debug, Env, Json, Set, Yes, arguments, open_console

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from renecinfra.cli.lifecycle import PlanFormat
    from renecinfra.console import Console
    from renecinfra.provision.approving import Approval
    from renecinfra.provision.aws.planning import AwsPlan
    from renecinfra.provision.aws.session import AwsSession

states = typer.Typer(
    help="Terraform's state of an environment in AWS: its history, and older ones brought back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def open_aws(name: str, console: Console, overrides: list[str] | None = None) -> AwsSession | None:
    """The environment, if it runs in AWS."""
    from renecinfra.provision.aws.session import open_aws as open_session
    from renecinfra.workspace import find_workspace

    return open_session(find_workspace(), name, console, overrides=overrides or ())


def require_aws(name: str, console: Console, overrides: list[str] | None = None) -> AwsSession:
    """The environment, which must run in AWS."""
    from renecinfra.errors import ToolError

    session = open_aws(name, console, overrides)
    if session is None:
        raise ToolError(
            "platform-not-aws",
            f"{name} does not run in AWS: its state is in no bucket",
            hint="this command is for environments with platform.kind aws",
        )
    return session


def plan(
    session: AwsSession, console: Console, form: PlanFormat, out: Path | None, *, detailed_exitcode: bool
) -> int:
    """`plan` of an environment in AWS."""
    from renecinfra.cli.planning import present_plan
    from renecinfra.cli.presenting_aws import show_plan
    from renecinfra.provision.approving import save
    from renecinfra.provision.aws.planning import make_plan

    with session.locked("plan", arguments()):
        made = make_plan(session)
        made.plan_file.unlink(missing_ok=True)
    if out is not None:
        save(session, made, out)
    present_plan(console, made, form, show_plan)
    return 2 if detailed_exitcode and not made.empty else 0


def up(
    session: AwsSession,
    console: Console,
    approved: Callable[[Callable[[Any], None]], Approval],
    *,
    yes: bool,
) -> int:
    """`up` of an environment in AWS."""
    from renecinfra.cli.presenting_aws import ask_bootstrap, show_up
    from renecinfra.provision.aws.bring_up import Questions
    from renecinfra.provision.aws.bring_up import up as bring_up

    approval = approved(
        lambda made: _confirm(console, made, yes=yes, protected=session.profile.protection.protected)
    )
    approval.check_early(session)
    questions = Questions(
        bootstrap=lambda looked: ask_bootstrap(console, looked, yes=yes),
        plan=lambda made: approval.check(session, made),
    )
    result = bring_up(session, questions, arguments())
    if console.json_output:
        console.json(result.document())
    else:
        show_up(console, result)
    return 0


def _confirm(console: Console, made: AwsPlan, *, yes: bool, protected: bool) -> None:
    from renecinfra.cli.presenting_aws import show_plan

    if not console.json_output:
        show_plan(console, made)
    if not yes:
        lost = [c for c in made.terraform.pending if c.action in ("delete", "replace")]
        expect = made.environment if lost or protected else None
        console.confirm(f"Apply this to {made.environment}?", expect=expect)


def down(session: AwsSession, console: Console, *, yes: bool, delete_backups: bool) -> int:
    """`down` of an environment in AWS."""
    from renecinfra.cli.presenting_aws import ask_down, show_down
    from renecinfra.provision.aws.tear_down import down as tear_down

    result = tear_down(
        session, lambda made: ask_down(console, made, yes=yes), arguments(), delete_backups=delete_backups
    )
    if console.json_output:
        console.json(result.document())
    else:
        show_down(console, result)
    return 0


def status(session: AwsSession, console: Console, *, watch: bool, interval: float) -> int:
    """`status` of an environment in AWS."""
    from renecinfra.cli.presenting_aws import show_status
    from renecinfra.provision.aws.looking import look

    while True:
        seen = look(session)
        if watch and not console.json_output:
            console.clear()
        if console.json_output:
            console.json(seen.document())
        else:
            show_status(console, seen)
        if not watch:
            return 0 if seen.ok else 1
        time.sleep(interval)


def bootstrap(
    env: Env,
    overrides: Set = None,
    check: Annotated[
        bool, typer.Option("--check", help="Make nothing; exit 1 if something is missing.")
    ] = False,
    yes: Yes = False,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Make the place of the environment's Terraform state in AWS: bucket, key, copy in the other region.

    Safe to repeat; it says first what it would make.

    Example: renecinfra bootstrap prod --check
    """
    from renecinfra.cli.presenting_aws import ask_bootstrap, show_bootstrap
    from renecinfra.provision.aws import bootstrapping

    console = open_console(json_output=json_output)
    session = require_aws(env, console, overrides)
    if check:
        looked = bootstrapping.look(session)
        show_bootstrap(console, looked, made=0)
        return 1 if looked.pending else 0
    result = bootstrapping.bootstrap(
        session, lambda looked: ask_bootstrap(console, looked, yes=yes), arguments()
    )
    show_bootstrap(console, result.plan, made=result.made)
    return 0


def unlock(
    env: Env,
    overrides: Set = None,
    check: Annotated[bool, typer.Option("--check", help="Explain the lock, and leave it.")] = False,
    yes: Yes = False,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Explain the lock of the environment's Terraform state, and remove it if its run is dead.

    Says who took it, when, for what, and whether that run can still be alive.

    Example: renecinfra unlock prod --check
    """
    from renecinfra.cli.presenting_aws import ask_unlock, show_lock
    from renecinfra.provision.aws.states import lock_report
    from renecinfra.provision.aws.states import unlock as remove

    console = open_console(json_output=json_output)
    session = require_aws(env, console, overrides)
    report = lock_report(session)
    show_lock(console, env, report)
    if report is None or check:
        return 0
    ask_unlock(console, report, yes=yes)
    remove(session, report, arguments())
    console.note("the lock is removed")
    return 0


@states.command("history")
def history(
    env: Env,
    overrides: Set = None,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """List the versions of the environment's Terraform state, newest first.

    Example: renecinfra state history prod
    """
    from renecinfra.cli.presenting_aws import show_history
    from renecinfra.provision.aws.states import history as read_history

    console = open_console(json_output=json_output)
    show_history(console, env, read_history(require_aws(env, console, overrides)))
    return 0


@states.command("recover")
def recover(
    env: Env,
    version: Annotated[
        str, typer.Option("--version", metavar="ID", help="The version, as `history` names it.")
    ],
    overrides: Set = None,
    yes: Yes = False,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Make an older version of the Terraform state the current one; changes nothing in AWS itself.

    Example: renecinfra state recover prod --version 3HL4kqtJlcpXroDTDmJ
    """
    from renecinfra.cli.presenting_aws import ask_recovery, show_recovery
    from renecinfra.provision.aws.states import recover as recover_state

    console = open_console(json_output=json_output)
    session = require_aws(env, console, overrides)
    done = recover_state(session, version, lambda it: ask_recovery(console, it, yes=yes), arguments())
    show_recovery(console, done)
    return 0


def cluster_token(
    env: Env,
    overrides: Set = None,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Print a token for the environment's cluster, as Kubernetes clients ask for it. It is a secret.

    kubectl and helm run this by themselves, through the kubeconfig that they are given.

    Example: renecinfra cluster-token prod
    """
    import json

    from renecinfra.platforms.aws import variables as values
    from renecinfra.platforms.aws.kubeconfig import credential, token

    console = open_console()
    session = require_aws(env, console, overrides)
    # Not through the console, which hides secrets: the one who asks is a program that needs it.
    typer.echo(json.dumps(credential(token(session.aws, values.name(session.profile)))))
    return 0
