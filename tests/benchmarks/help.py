"""`renecinfra --help` against the `--help` of a Typer application with two empty commands."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.measuring import Result, alternating, seconds

BARE = '''
import typer

app = typer.Typer()


@app.command()
def one() -> None:
    """The first."""


@app.command()
def two() -> None:
    """The second."""


app()
'''
ROUNDS = 15


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as directory:
        bare = Path(directory) / "bare.py"
        bare.write_text(BARE)
        ours, baseline = alternating(
            lambda: seconds([sys.executable, "-m", "renecinfra", "--help"]),
            lambda: seconds([sys.executable, str(bare), "--help"]),
            ROUNDS,
        )
    detail = f"{ours * 1000:.0f} ms / {baseline * 1000:.0f} ms, medians of {ROUNDS}"
    yield Result("--help over a bare Typer app", ours / baseline, "x", 1.2, detail)
