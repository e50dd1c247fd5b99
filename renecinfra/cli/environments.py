"""`env`: the profiles of the workspace."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from renecinfra.cli.options import Debug, Env, Json, Set, open_console

app = typer.Typer(help="List, show, make and check environments' profiles.", no_args_is_help=True)


class PlatformKind(StrEnum):
    """What a new environment runs on."""

    LOCAL = "local"
    AWS = "aws"
    KUBERNETES = "kubernetes"


@app.command("list")
def list_environments(json_output: Json = False, debug: Debug = False) -> int:  # noqa: ARG001 - read by main
    """List the environments, and whether each profile is valid; exits 3 when one is not.

    Example: renecinfra env list
    """
    from renecinfra.console import MARKS, error_document, plain
    from renecinfra.profiles.catalog import environments
    from renecinfra.workspace import find_workspace

    console = open_console(json_output=json_output)
    found = environments(find_workspace())
    if json_output:
        console.json(
            [
                {
                    "name": one.name,
                    "platform": one.platform,
                    "description": one.description,
                    "protected": one.protected,
                    "error": error_document(one.error) if one.error else None,
                }
                for one in found
            ]
        )
    else:
        rows = [
            (
                MARKS["ok" if one.valid else "failed"],
                plain(one.name),
                one.platform,
                "yes" if one.protected else "",
                plain(one.error.message if one.error else one.description),
            )
            for one in found
        ]
        console.table(("", "name", "platform", "protected", "description"), rows)
    return 0 if all(one.valid for one in found) else 3


@app.command()
def show(
    env: Env,
    overrides: Set = None,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Show every value of a profile, and where it was written.

    Example: renecinfra env show local --set database.max_connections=200
    """
    from renecinfra.console import plain
    from renecinfra.profiles.loading import load, settings
    from renecinfra.workspace import find_workspace

    console = open_console(json_output=json_output)
    loaded = load(find_workspace(), env, overrides or ())
    if json_output:
        sources = {path: str(source) for path, source in loaded.sources.items()}
        console.json({"profile": loaded.profile.model_dump(mode="json"), "sources": sources})
        return 0
    rows = [
        (
            plain(path),
            plain(value),
            plain(str(loaded.sources[path])) if path in loaded.sources else "[dim]default[/]",
        )
        for path, value in settings(loaded.profile)
    ]
    console.table(("setting", "value", "written in"), rows)
    return 0


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new environment's name.")],
    platform: Annotated[
        PlatformKind, typer.Option("--platform", help="What it runs on.")
    ] = PlatformKind.LOCAL,
    extends: Annotated[
        list[str] | None,
        typer.Option("--extends", metavar="PROFILE", help="What it builds on; can be given again."),
    ] = None,
    port_base: Annotated[
        int | None,
        typer.Option("--port-base", help="Local: the first of its ports; a free range if not given."),
    ] = None,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Make environments/NAME.yaml; never overwrites one.

    Example: renecinfra env new mine --extends local
    """
    from renecinfra.profiles.scaffold import new as write_new
    from renecinfra.workspace import find_workspace

    console = open_console(json_output=json_output)
    workspace = find_workspace()
    path = write_new(workspace, name, platform.value, extends or (), port_base)
    relative = path.relative_to(workspace.root)
    if json_output:
        console.json({"name": name, "path": str(relative)})
    else:
        console.result(f"wrote {relative}; next: renecinfra env validate {name}")
    return 0


@app.command()
def validate(
    env: Annotated[
        str | None, typer.Argument(metavar="[ENV]", help="One environment; all of them if left out.")
    ] = None,
    overrides: Set = None,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Check a profile, or all of them; exits 3 with file, line and column of what is wrong.

    Example: renecinfra env validate prod
    """
    from renecinfra.console import error_document
    from renecinfra.errors import ProfileError
    from renecinfra.profiles.catalog import environments
    from renecinfra.profiles.loading import load
    from renecinfra.workspace import find_workspace

    console = open_console(json_output=json_output)
    workspace = find_workspace()
    names = [env] if env else [one.name for one in environments(workspace)]
    problems: dict[str, ProfileError] = {}
    for name in names:
        try:
            load(workspace, name, overrides or ())
        except ProfileError as error:
            problems[name] = error
            if not json_output:
                console.error(error)
        else:
            if not json_output:
                console.result(f"{name} is valid")
    if json_output:
        valid = [name for name in names if name not in problems]
        invalid = {name: error_document(error) for name, error in problems.items()}
        console.json({"valid": valid, "invalid": invalid})
    return 3 if problems else 0


@app.command()
def schema(
    write: Annotated[bool, typer.Option("--write", help="Write environments/schema.json.")] = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Print the JSON Schema of profiles, which editors complete and check them by.

    Example: renecinfra env schema --write
    """
    from renecinfra.profiles.schema import text
    from renecinfra.rendering import write_atomically
    from renecinfra.workspace import find_workspace

    console = open_console()
    if write:
        target = find_workspace().environments / "schema.json"
        write_atomically(target, text())
        console.note(f"wrote {target}")
    else:
        console.page(text())
