"""Timing commands side by side, and printing what came of it."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One figure, what it is held against, and the bound that the project set itself."""

    name: str
    value: float
    unit: str
    bound: float
    detail: str

    @property
    def within(self) -> bool:
        return self.value <= self.bound

    def __str__(self) -> str:
        mark = "ok  " if self.within else "OVER"
        return f"{mark} {self.name:44} {self.value:7.2f} {self.unit:5} (bound {self.bound:g}) {self.detail}"


def seconds(argv: Sequence[str], cwd: Path | None = None, **environ: str) -> float:
    """Wall time of one command, which has to succeed."""
    # With it, every command compiles all of its modules: a setting of test machines, not of people.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=inherited | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return elapsed


def alternating(ours: Callable[[], float], baseline: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Medians of both, taken in turns so that a busy moment hits both alike; one round first warms up."""
    ours(), baseline()
    pairs = [(ours(), baseline()) for _ in range(rounds)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)
