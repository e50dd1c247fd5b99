"""`doctor`: whether this machine can run an environment, and installing what is missing."""

from __future__ import annotations

from typing import Annotated

import typer

from renecinfra.cli.options import Debug, Json, Set, _environment_names, open_console


def doctor(
    env: Annotated[
        str | None,
        typer.Argument(
            metavar="[ENV]", help="Look at what this environment needs.", autocompletion=_environment_names
        ),
    ] = None,
    overrides: Set = None,
    install: Annotated[
        bool, typer.Option("--install", help="Install what is missing (Debian packages; takes root).")
    ] = False,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Say what this machine lacks, and how to get it; exits 4 when something needed is missing.

    Example: renecinfra doctor local --install
    """
    from renecinfra.cli.presenting import show_findings
    from renecinfra.doctor import examine
    from renecinfra.profiles.loading import load
    from renecinfra.services.installation import install as install_missing
    from renecinfra.workspace import find_workspace

    console = open_console(json_output=json_output)
    workspace = find_workspace()
    profile = load(workspace, env, overrides or ()).profile if env else None
    if install:
        local = profile.local if profile is not None and profile.platform.kind == "local" else None
        version = profile.database.version if profile is not None else None
        with console.step("Installing what is missing"):
            if local is None:
                install_missing(console.note, postgresql_version=version)
            else:
                install_missing(console.note, user=local.user, postgresql_version=version)
    findings = examine(workspace, profile)
    if json_output:
        console.json([{"name": f.name, "ok": f.ok, "detail": f.detail, "hint": f.hint} for f in findings])
    else:
        show_findings(console, findings)
    return 4 if any(finding.required and not finding.ok for finding in findings) else 0
