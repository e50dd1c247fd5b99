"""`secrets ENV`: what an environment refers to, without ever showing a value."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from renecinfra.cli.options import Debug, Env, Json, Quiet, Set, Yes, arguments, open_console

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.provision.secrets import SecretsWork
    from renecinfra.secrets.vault_store import Checked
    from renecinfra.sensitive import Secret

_ROTATION = timedelta(minutes=15)  # a restart of every consumer, one by one, and back if need be

app = typer.Typer(
    help="Check, list and write an environment's secrets, and print the policies they need; shows no value.",
    no_args_is_help=True,
)


@app.callback()
def _environment(context: typer.Context, env: Env) -> None:
    """Check, list and write an environment's secrets, and print the policies they need; shows no value."""
    context.obj = env


@contextmanager
def opened(
    context: typer.Context, console: Console, overrides: list[str] | None = None
) -> Iterator[SecretsWork]:
    """The secrets of the environment that the command names, and the end of the login."""
    from renecinfra.provision.secrets import open_secrets
    from renecinfra.workspace import find_workspace

    work = open_secrets(find_workspace(), context.obj, console, overrides=overrides or ())
    try:
        yield work
    finally:
        work.close()


@app.command()
def check(
    context: typer.Context,
    overrides: Set = None,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Resolve every reference of the profile; exits 5 with what is missing for those that do not.

    Example: renecinfra secrets prod check
    """
    from renecinfra.console import MARKS, error_document, plain

    console = open_console(json_output=json_output)
    with opened(context, console, overrides) as work:
        checked = work.check()
    failed = [one for one in checked if one.error is not None]
    if json_output:
        rows = [
            {
                "reference": one.reference,
                "version": one.version,
                "error": error_document(one.error) if one.error else None,
            }
            for one in checked
        ]
        console.json({"environment": context.obj, "ok": not failed, "references": rows})
        return 5 if failed else 0
    cells = [
        (
            MARKS["failed" if one.error else "off" if one.version is None else "ok"],
            plain(one.reference),
            "" if one.version is None else str(one.version),
            plain(_problem(one)),
        )
        for one in checked
    ]
    console.table(("", "reference", "version", "problem"), cells)
    for hint in dict.fromkeys(one.error.hint for one in failed if one.error and one.error.hint):
        console.note(f"hint: {hint}")
    return 5 if failed else 0


def _problem(one: Checked) -> str:
    if one.error is not None:
        return one.error.message.removeprefix(f"{one.reference}: ")
    return "made by the first `up`" if one.version is None else ""


@app.command("list")
def list_secrets(
    context: typer.Context,
    overrides: Set = None,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """List references with their versions and ages; reads no value.

    Example: renecinfra secrets prod list
    """
    from datetime import UTC, datetime

    from renecinfra.console import plain

    console = open_console(json_output=json_output)
    with opened(context, console, overrides) as work:
        entries = work.entries()
    if json_output:
        console.json({"environment": context.obj, "references": [entry.document() for entry in entries]})
        return
    now = datetime.now(UTC)
    rows = [
        (
            plain(entry.reference),
            "none" if entry.version is None else str(entry.version),
            _age((now - entry.created).total_seconds()) if entry.created else "",
            plain(", ".join(entry.used_by)),
        )
        for entry in entries
    ]
    console.table(("reference", "version", "age", "setting"), rows)


@app.command()
def put(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The reference, or the setting that has it.")],
    cas: Annotated[
        int | None,
        typer.Option(
            "--cas", min=0, help="Write only if this version is the current one; 0 if there is none."
        ),
    ] = None,
    overrides: Set = None,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Write a new version of a secret, asked for on the terminal or read from standard input.

    Other fields of its path stay as they are, and no one else's write in between is lost.

    Example: renecinfra secrets prod put vault:api#key < key.txt
    """
    console = open_console(json_output=json_output)
    with opened(context, console, overrides) as work:
        reference = work.named(name)
        work.vault.client.login(reference)
        reference, version = work.put(name, _read_value(reference), cas, arguments())
    if json_output:
        console.json({"environment": context.obj, "reference": reference, "version": version})
    else:
        console.result(f"{reference} has version {version} now; `renecinfra up {context.obj}` rolls it out")


def _read_value(reference: str) -> Secret:
    """From the terminal, twice and unseen, or all of standard input less its last line break."""
    from getpass import getpass

    from renecinfra.errors import DeclinedError, UsageError
    from renecinfra.sensitive import Secret

    if not sys.stdin.isatty():
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError:
            raise UsageError(
                "secret-not-text",
                f"what was read for {reference} is not text",
                hint="encode it, for example with base64; nothing was written",
            ) from None
        return Secret(text.removesuffix("\n").removesuffix("\r"))
    try:
        first, again = getpass(f"New value of {reference}: "), getpass("The same again: ")
    except EOFError:
        raise DeclinedError("declined", "nothing was written: no value was given") from None
    if again != first:
        raise UsageError("secret-mistyped", "the two values differ", hint="nothing was written")
    return Secret(first)


def _purposes() -> list[str]:
    return ["run", "write", "cluster", "certificates", "ci"]


@app.command()
def policy(
    context: typer.Context,
    purpose: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="PURPOSE",
            help="run, write, cluster, certificates or ci.",
            autocompletion=_purposes,
        ),
    ] = "run",
    role: Annotated[
        bool,
        typer.Option("--role", help="Print the role that hands the policy out, as JSON for `vault write`."),
    ] = False,
    repository: Annotated[
        str | None, typer.Option("--repository", metavar="OWNER/NAME", help="Whose CI jobs may log in.")
    ] = None,
    branch: Annotated[str, typer.Option("--branch", help="The branch that jobs must be on.")] = "main",
    overrides: Set = None,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Print the least Vault policy that the profile needs; contacts no Vault.

    run is for `up`, write for `put` and `rotate`, cluster for External Secrets, certificates for
    cert-manager, and ci for jobs that check a change and may read no value.

    Example: renecinfra secrets prod policy --for ci | vault policy write renec-prod-ci -
    """
    from renecinfra.provision.policies import made_for

    console = open_console(json_output=json_output)
    with opened(context, console, overrides) as work:
        made = made_for(work, purpose, repository, branch, role=role)
    if json_output:
        console.json(made.document())
    elif role:
        console.json(made.role)
    else:
        console.page(made.text)


@app.command()
def rotate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The reference, or the setting that has it.")],
    grace: Annotated[
        str,
        typer.Option("--grace", metavar="TIME", help="How long the old value stays valid in the end (10m)."),
    ] = "0s",
    yes: Yes = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Give a secret a new random value, restart its consumers one by one, and retire the old value.

    Both values are valid meanwhile. If anything fails, the old value is current again.

    Example: renecinfra secrets local rotate database_password
    """
    from renecinfra.provision.rotating import rotate as rotate_secret

    console = open_console(json_output=json_output, quiet=quiet)
    span = _duration("--grace", grace)

    def confirm(reference: str, version: int) -> None:
        if not yes:
            console.confirm(f"Give {reference} a new value (version {version}) and restart what uses it?")

    with opened(context, console) as work, work.logged_in_for(_ROTATION + span):
        done = rotate_secret(work.session, work.store, work.named(name), confirm, arguments(), grace=span)
    if json_output:
        console.json(done.document())
    else:
        restarted = ", ".join(done.restarted) or "nothing"
        console.result(
            f"{done.reference} has version {done.after} now; restarted {restarted} in {done.seconds:.1f} s"
        )


@app.command()
def login(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="database", help="What to log in to: database.")],
    ttl: Annotated[
        str, typer.Option("--ttl", metavar="TIME", help="When the login ends, from 1m to 24h.")
    ] = "1h",
    role: Annotated[str, typer.Option("--role", help="What it may do: read or write.")] = "read",
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Print a login that Vault makes for you and ends by itself. The one command that shows a password.

    Where the profile says where the database is, that is an address as psql takes it; otherwise JSON.

    Example: psql "$(renecinfra secrets local login database --ttl 30m)"
    """
    import json

    from renecinfra.provision.logins import log_in

    console = open_console(json_output=json_output)
    span = _duration("--ttl", ttl)
    with opened(context, console) as work:
        issued = log_in(work, what, role, span, arguments())
    shown = issued.revealed()
    # Not by the console, which hides secrets.
    sys.stdout.write(json.dumps(shown) + "\n" if json_output or issued.dsn is None else f"{shown['dsn']}\n")


def _duration(option: str, text: str) -> timedelta:
    from renecinfra.errors import UsageError
    from renecinfra.profiles.base import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError("usage", f"{option} {error}", hint="write 90s, 30m or 1h") from None


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
