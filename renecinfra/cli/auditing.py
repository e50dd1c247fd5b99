"""The command that says whether an environment is what it must be."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from renecinfra.cli.options import Debug, Env, Json, Quiet, Set, open_console

if TYPE_CHECKING:
    from renecinfra.console import Console
    from renecinfra.review.policy.audit import Audit


class AuditFormat(StrEnum):
    """How an audit is shown."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"


def audit(
    env: Env,
    overrides: Set = None,
    form: Annotated[
        AuditFormat, typer.Option("--format", help="For people, for machines, or for code scanning.")
    ] = AuditFormat.TABLE,
    terraform_plan: Annotated[
        Path | None,
        typer.Option(
            "--terraform-plan", metavar="FILE", help="Look at what `terraform show -json` printed too."
        ),
    ] = None,
    scan: Annotated[
        bool, typer.Option("--scan", help="Have checkov and trivy look too, where installed.")
    ] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Check an environment against the rules of security and production readiness.

    Exits 1 when a rule that denies is broken without a waiver.

    Example: renecinfra audit prod --format sarif
    """
    from renecinfra.provision.auditing import audit_environment
    from renecinfra.review.policy.sarif import sarif
    from renecinfra.workspace import find_workspace

    form = AuditFormat.JSON if json_output else form
    console = open_console(json_output=form is not AuditFormat.TABLE, quiet=quiet)
    made = audit_environment(
        find_workspace(), env, console, overrides=overrides or (), terraform_plan=terraform_plan, scan=scan
    )
    if form is AuditFormat.TABLE:
        _show(console, made)
    else:
        console.json(sarif(made) if form is AuditFormat.SARIF else made.document())
    return 1 if made.denied else 0


def _show(console: Console, made: Audit) -> None:
    from renecinfra.console import MARKS, plain

    marks = {"deny": MARKS["failed"], "warn": MARKS["warn"]}
    for one in made.findings:
        mark = MARKS["off"] if one.waived else marks[one.severity]
        where = f" ({one.location})" if one.location else ""
        console.result(f"{mark} {one.rule}: {plain(one.message + where)}", markup=True)
        if one.waived:
            console.result(f"    waived: {one.waived}")
    for title, items in made.lists().items():
        rows = [
            (_RESULTS[item["result"]], plain(name), str(item["open"] or ""), ", ".join(item["rules"]))
            for name, item in items.items()
        ]
        console.table(("result", title, "open", "rules"), rows)
        console.result()
    for what, why in made.skipped.items():
        console.result(f"{MARKS['off']} {plain(what)}: not looked at: {plain(why)}", markup=True)
    waived = len(made.findings) - len(made.open)
    console.result(
        f"{made.environment}: {len(made.denied)} denied, {len(made.open) - len(made.denied)} warnings, "
        f"{waived} waived; looked at {_counted(made)}"
    )


def _counted(made: Audit) -> str:
    words = {"profile": "settings", "objects": "objects", "configuration": "files", "resources": "resources"}
    return ", ".join(f"{count} {words[aspect]}" for aspect, count in made.looked_at.items())


_RESULTS = {
    "passed": "[green]passed[/]",
    "open": "[red]open[/]",
    "not covered": "[dim]not covered[/]",
    "not checked": "[dim]not checked[/]",
    "partly checked": "[yellow]partly checked[/]",
}
