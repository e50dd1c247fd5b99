"""Ten environments planned side by side, against one after the other."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.measuring import Result, alternating, seconds
from tests.e2e.conftest import make_workspace
from tests.ports import free_port_base

ENVIRONMENTS = 10
ROUNDS = 3


def run() -> Iterator[Result]:
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)  # services' user reads templates there, which a plan needs
    cli = make_workspace(directory, "planned")
    profiles = cli.workspace / "environments"
    (profiles / "planned.yaml").unlink()
    names = [f"planned-{number}" for number in range(ENVIRONMENTS)]
    for name in names:
        (profiles / f"{name}.yaml").write_text(
            f"environment: {name}\nextends: local\nsecrets: {{provider: generated}}\n"
            f"platform:\n  port_base: {free_port_base()}\n"
        )
    for path in profiles.glob("*.yaml"):
        if path.stem not in (*names, "base", "local"):
            path.unlink()
    command = [sys.executable, "-m", "renecinfra", "plan"]
    environ = {"RENECINFRA_WORKSPACE": str(directory)}
    try:
        together, apart = alternating(
            lambda: seconds([*command, "--all"], **environ),
            lambda: sum(seconds([*command, name], **environ) for name in [*names, "local"]),
            ROUNDS,
        )
    finally:
        shutil.rmtree(directory)
    detail = f"{together:.1f} s / {apart:.1f} s, medians of {ROUNDS}, Terraform's providers prepared"
    yield Result(f"planning {ENVIRONMENTS + 1} environments side by side", together / apart, "x", 0.7, detail)
