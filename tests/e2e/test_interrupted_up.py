"""`up` killed or interrupted at random moments: the next one finishes, and nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROUNDS = int(os.environ.get("RENECINFRA_CHAOS_ROUNDS", "5"))
SEED = int(os.environ.get("RENECINFRA_CHAOS_SEED", "20261124"))


@pytest.mark.timeout(1200)
def test_the_next_up_finishes_after_any_interruption(fresh):
    dice = random.Random(SEED)
    name = fresh.environment
    started = time.monotonic()
    fresh.ok("up", name, "--yes")
    whole = time.monotonic() - started
    rows = 0
    for turn in range(ROUNDS):
        from_nothing = turn % 4 == 0
        if from_nothing:
            fresh.ok("down", name, "--yes")
            rows = 0
        # Every round changes something, so that each `up` has work to be interrupted in.
        change = [
            "--set",
            f"cache.cache.max_clients={300 + turn}",
            "--set",
            f"database.max_connections={90 + turn}",
        ]
        how = dice.choice([signal.SIGKILL, signal.SIGINT])
        moment = dice.uniform(0.1, whole)
        process = fresh.start("up", name, "--yes", *change)
        time.sleep(moment)
        process.send_signal(how)
        out, err = process.communicate(timeout=90)
        told = f"round {turn}: {how.name} after {moment:.2f} s\n{out}\n{err}"
        if how is signal.SIGINT:
            # -2: in the instant between the end of the work and the end of the interpreter.
            assert process.returncode in (0, 130, -signal.SIGINT), told
            assert "Traceback" not in err, told
        fresh.ok("up", name, "--yes", *change, timeout=180)
        status = fresh.status()
        assert status["ok"], (told, status)
        assert fresh.run("plan", name, "--detailed-exitcode", *change).returncode == 0, told
        total = fresh.get("/api/v1/ec-standards").json()["total"]
        assert total >= rows, told
        rows = total
    assert not orphans(fresh)


def orphans(cli):
    """Terraform processes that still work in this environment's directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == cli.state / "terraform":
                found.append(int(entry.name))
        except OSError:
            continue
    return found
