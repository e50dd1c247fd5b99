"""`up` from an empty disk, with nothing to do, and against bare Terraform on the same rendered files."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.measuring import Result, alternating, seconds
from tests.e2e.conftest import Cli, make_workspace

TERRAFORM = shutil.which("terraform") or shutil.which("tofu")
BARE = [TERRAFORM] if TERRAFORM else [sys.executable, "-m", "renecinfra.terraform.embedded"]
ROUNDS = 3


def run() -> Iterator[Result]:
    directory = Path(tempfile.mkdtemp())
    cli = make_workspace(directory, "bench")
    profile = cli.workspace / "environments" / "bench.yaml"
    with_openbao = profile.read_text()
    # Bare Terraform cannot set up an OpenBao, so both sides of the ratio have generated secrets.
    profile.write_text(with_openbao + "secrets: {provider: generated}\n")
    command = [sys.executable, "-m", "renecinfra"]
    environ = {"RENECINFRA_WORKSPACE": str(directory)}
    try:
        ours, bare = alternating(lambda: _ours(cli, command, environ), lambda: _bare(cli, environ), ROUNDS)
        seconds([*command, "down", cli.environment, "--yes", "--delete-backups"], **environ)
        whole = seconds([*command, "up", cli.environment, "--yes"], **environ)
        again = min(seconds([*command, "up", cli.environment, "--yes"], **environ) for _ in range(5))
        seconds([*command, "down", cli.environment, "--yes", "--delete-backups"], **environ)
        profile.write_text(with_openbao)
        vault = seconds([*command, "up", cli.environment, "--yes"], **environ)
        healthy = vault - _steps(cli, "hooks", "verify", "retire", "logins")
        vault_again = min(seconds([*command, "up", cli.environment, "--yes"], **environ) for _ in range(5))
    finally:
        seconds([*command, "down", cli.environment, "--yes", "--delete-backups"], **environ)
        shutil.rmtree(directory)
    detail = f"{ours:.2f} s / {bare:.2f} s, medians of {ROUNDS}: rendering, plan, install, apply"
    yield Result("`up` over bare terraform", ours / bare, "x", 1.10, detail)
    yield Result("`up` from an empty disk, hooks and checks too", whole, "s", 12.0, "")
    yield Result("`up` with nothing to do", again, "s", 1.5, "best of 5, the interpreter's start included")
    whole_too = (
        f"until every health check has passed; {vault:.1f} s with the first verified backup and all hooks"
    )
    yield Result("`up` from an empty disk, with OpenBao", healthy, "s", 12.0, whole_too)
    yield Result("`up` with nothing to do, with OpenBao", vault_again, "s", 1.5, "best of 5")


def _ours(cli: Cli, command: list[str], environ: dict[str, str]) -> float:
    """The steps that bare Terraform does too, from the journal of an `up`; hooks and checks are apart."""
    seconds([*command, "down", cli.environment, "--yes", "--delete-backups"], **environ)
    seconds([*command, "up", cli.environment, "--yes"], **environ)
    return _steps(cli, "plan", "apply")


def _steps(cli: Cli, *names: str) -> float:
    """The seconds that steps of the last run took, from the journal."""
    lines = [json.loads(line) for line in (cli.state / "journal.jsonl").read_text().splitlines()]
    last = max(index for index, line in enumerate(lines) if line["event"] == "started")
    steps = [line for line in lines[last:] if line["event"] == "step" and "seconds" in line]
    return float(sum(step["seconds"] for step in steps if step["name"] in names))


def _bare(cli: Cli, environ: dict[str, str]) -> float:
    """init, plan and apply by hand on what was rendered and installed, from stopped services and no data."""
    stack = cli.state / "terraform"
    quiet = ["-input=false", "-no-color"]
    seconds([*BARE, "destroy", "-auto-approve", *quiet], cwd=stack, **environ)
    for path in (cli.home / "data").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(stack / ".terraform", ignore_errors=True)
    return (
        seconds([*BARE, "init", *quiet], cwd=stack, **environ)
        + seconds([*BARE, "plan", "-out=bare.tfplan", *quiet], cwd=stack, **environ)
        + seconds([*BARE, "apply", *quiet, "bare.tfplan"], cwd=stack, **environ)
    )
