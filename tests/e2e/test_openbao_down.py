"""OpenBao that goes away while an `up` needs it: one clear error, and the next `up` goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


def frozen_openbao(cli, process: subprocess.Popen[str]) -> int:
    """Stop OpenBao as soon as its root token is there: the bootstrap is under way then."""
    root = cli.state / "openbao" / "root.json"
    deadline = time.monotonic() + 60
    while not root.exists():
        assert time.monotonic() < deadline and process.poll() is None, "the bootstrap did not begin"
        time.sleep(0.01)
    pid = next(pid for pid in cli.marked() if Path(f"/proc/{pid}/exe").readlink().name == "bao")
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_an_openbao_that_hangs_in_the_middle_of_up_leaves_a_resumable_environment(fresh):
    name = fresh.environment
    process = fresh.start("up", name, "--yes")
    frozen_openbao(fresh, process)
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 5, (out, err)
    assert "did not answer within 5 s" in err
    assert time.monotonic() - began < 10
    # Nothing that needs a password was started.
    assert {s["name"] for s in fresh.status()["services"] if s["state"] == "healthy"} == set()
    fresh.ok("up", name, "--yes")
    assert fresh.wrong() == []
    assert not (fresh.state / "openbao" / "root.json").exists()


def test_an_openbao_that_dies_after_that_is_found_and_brought_back(environment):
    name = environment.environment
    supervised = environment.service("openbao")["pid"]
    os.kill(supervised, signal.SIGSTOP)
    try:
        plan = environment.run("plan", name, "--json", "--detailed-exitcode")
        assert plan.returncode == 2, plan.stderr
        assert '"terraform_data.secrets[\\"openbao\\"]"' in plan.stdout
        # The environment serves without it, and says what is missing.
        assert environment.get("/api/v1/ec-standards").status == 200
        assert environment.wrong()
        environment.ok("up", name, "--yes")
    finally:
        if os.path.exists(f"/proc/{supervised}"):  # noqa: PTH110 - a pid
            os.kill(supervised, signal.SIGCONT)
    assert environment.service("openbao")["pid"] != supervised
    assert environment.wrong() == []
    assert environment.run("plan", name, "--detailed-exitcode").returncode == 0
