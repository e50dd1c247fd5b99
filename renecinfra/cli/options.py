"""Arguments and options that several commands take, and what they are turned into."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from renecinfra.console import Console
    from renecinfra.provision.kubernetes.session import ClusterSession
    from renecinfra.provision.session import Session


def _environment_names(incomplete: str) -> list[str]:
    """Names for shell completion; a broken workspace completes to nothing."""
    from renecinfra.errors import RenecError
    from renecinfra.workspace import find_workspace

    try:
        directory = find_workspace().environments
    except RenecError:
        return []
    names = sorted(path.stem for path in directory.glob("*.yaml") if path.stem != "base")
    return [name for name in names if name.startswith(incomplete)]


Env = Annotated[
    str,
    typer.Argument(
        metavar="ENV", help="The environment: environments/ENV.yaml.", autocompletion=_environment_names
    ),
]
SomeEnv = Annotated[
    str | None,
    typer.Argument(
        metavar="[ENV]", help="The environment: environments/ENV.yaml.", autocompletion=_environment_names
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a profile value; can be given again."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results, warnings and errors only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from (never values).")]


def open_console(*, json_output: bool = False, quiet: bool = False) -> Console:
    """The console of one command."""
    from renecinfra.console import Console

    return Console(json_output=json_output, quiet=quiet)


def open_environment(name: str, console: Console, overrides: list[str] | None = None) -> Session:
    """Load the profile of ``name`` from the workspace around the current directory."""
    from renecinfra.provision.session import open_session
    from renecinfra.workspace import find_workspace

    return open_session(find_workspace(), name, console, overrides=overrides or ())


def open_any(name: str, console: Console, overrides: list[str] | None = None) -> Session | ClusterSession:
    """As :func:`open_environment`, for commands that work on a cluster too."""
    from renecinfra.provision.opening import open_platform
    from renecinfra.workspace import find_workspace

    return open_platform(find_workspace(), name, console, overrides=overrides or ())


@contextmanager
def open_deployed(
    name: str, console: Console, overrides: list[str] | None = None
) -> Iterator[Session | ClusterSession]:
    """As :func:`open_any`; of an environment in AWS the cluster of its stack, until the block ends."""
    from renecinfra.provision.aws.session import open_aws
    from renecinfra.workspace import find_workspace

    cloud = open_aws(find_workspace(), name, console, overrides=overrides or ())
    if cloud is None:
        yield open_any(name, console, overrides)
        return
    from renecinfra.provision.aws import eks

    with eks.opened(cloud) as session:
        yield session


def open_cluster(name: str, console: Console) -> ClusterSession | None:
    """The environment, if it runs on an existing cluster."""
    from renecinfra.provision.kubernetes.session import ClusterSession

    session = open_any(name, console) if _kind(name) == "kubernetes" else None
    return session if isinstance(session, ClusterSession) else None


def _kind(name: str) -> str:
    from renecinfra.profiles.loading import load
    from renecinfra.workspace import find_workspace

    return load(find_workspace(), name).profile.platform.kind


def arguments() -> list[str]:
    """The command line as the journal records it."""
    return sys.argv[1:]
