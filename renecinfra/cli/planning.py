"""How plans are shown: one environment's, or several side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from renecinfra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from renecinfra.cli.lifecycle import PlanFormat
    from renecinfra.console import Console
    from renecinfra.review.outcome import Outcome


def present_plan(console: Console, made: Any, form: PlanFormat, show: Callable[[Console, Any], None]) -> None:
    """One environment's plan in the form that was asked for; ``show`` is the platform's table."""
    from renecinfra.review.comment import comment
    from renecinfra.review.outcome import Outcome

    if form == "json":
        console.json(made.document())
    elif form == "markdown":
        outcome = Outcome.from_document(made.environment, made.document())
        console.page(comment([outcome], f"renecinfra plan {made.environment}"))
    else:
        show(console, made)


def require_one_choice(env: str | None, changed_since: str | None, out: Path | None, *, every: bool) -> None:
    """One environment, all of them, or those that a change concerns.

    Raises:
        UsageError: none or several of these were asked for, or one file for several plans.
    """
    if sum((env is not None, every, changed_since is not None)) != 1:
        raise UsageError(
            "plan-choice",
            "name one environment, or give --all or --changed-since REF",
            hint="run `renecinfra env list` to see which there are",
        )
    if out is not None and env is None:
        raise UsageError("plan-choice", "--out takes one environment's plan", hint="plan each by its name")


def plan_several(console: Console, form: PlanFormat, overrides: list[str], changed_since: str | None) -> int:
    """Plan environments side by side and show them together; returns the exit code of all."""
    from renecinfra import git
    from renecinfra.provision.affected import affected, by_environment, environments
    from renecinfra.provision.side_by_side import plan_all
    from renecinfra.review.outcome import exit_code
    from renecinfra.workspace import find_workspace

    workspace = find_workspace()
    command = "renecinfra plan --all"
    if changed_since is None:
        names = list(environments(workspace))
    else:
        found = affected(workspace, git.changed_since(workspace.root, changed_since))
        names = list(found)
        command = f"renecinfra plan --changed-since {changed_since}"
        for line in by_environment(found):
            console.note(line)
    with console.progress("Planning", len(names)) as progress:
        outcomes = plan_all(
            workspace, names, overrides=overrides, on_done=lambda one: progress.advance(1, one.environment)
        )
    _present(console, outcomes, form, command)
    return exit_code(outcomes)


def _present(console: Console, outcomes: list[Outcome], form: PlanFormat, command: str) -> None:
    from renecinfra.console import plain
    from renecinfra.review.comment import comment
    from renecinfra.review.outcome import exit_code

    if form == "json":
        plans = [outcome.document() for outcome in outcomes]
        console.json({"plans": plans, "exit_code": int(exit_code(outcomes))})
    elif form == "markdown":
        console.page(comment(outcomes, command))
    elif not outcomes:
        console.result("no environment is concerned")
    else:
        console.table(
            ("environment", "plan"), [(plain(one.environment), plain(one.summary)) for one in outcomes]
        )
        for one in outcomes:
            for change in one.review.stateful if one.review is not None else ():
                console.result(f"{one.environment}: stateful: {change.action} {change.address}")
