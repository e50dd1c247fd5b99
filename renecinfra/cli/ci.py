"""Commands for continuous integration: workflows to begin with, and the comment on a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renecinfra.cli.options import Debug, Json, open_console

app = typer.Typer(help="Workflows for GitHub, and the comment on a pull request.", no_args_is_help=True)


@app.command()
def init(
    force: Annotated[bool, typer.Option("--force", help="Overwrite workflows that differ.")] = False,
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Write workflows to .github/workflows: plan on pull requests, apply after merge, nightly drift.

    Example: renecinfra ci init
    """
    from renecinfra.provision.workflows import write_workflows
    from renecinfra.workspace import find_workspace

    console = open_console(json_output=json_output)
    written = write_workflows(find_workspace(), force=force)
    if json_output:
        console.json({"written": [str(path) for path in written]})
        return
    for path in written:
        console.result(f"wrote {path}")
    if not written:
        console.result("the workflows are there and current")
    console.result("The head of each says which variables and secrets the repository needs.")


@app.command()
def comment(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="The pull request.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `plan --format markdown` printed.")],
    json_output: Json = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Put a plan into the pull request's one comment, which is updated in place.

    Takes GITHUB_TOKEN, GITHUB_REPOSITORY and GITHUB_API_URL, as jobs have them.

    Example: renecinfra ci comment 12 comment.md
    """
    import os

    from renecinfra.errors import UsageError
    from renecinfra.github import PullRequest
    from renecinfra.review.comment import LIMIT, MARKER

    console = open_console(json_output=json_output)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError("comment-unreadable", f"{file} cannot be read as text") from error
    if not text.startswith(MARKER) or len(text.encode()) > LIMIT:
        raise UsageError(
            "comment-invalid",
            f"{file} is not a comment that `plan --format markdown` printed",
            hint="write it with `renecinfra plan ENV --format markdown > FILE`",
        )
    url = PullRequest(number, os.environ).comment(text, MARKER)
    if json_output:
        console.json({"url": url})
    else:
        console.result(f"the comment is at {url}")
