"""The stack `local` under a real Terraform: create, nothing to do, replace, resume, destroy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from renecinfra.services.definition import Layer, Service
from renecinfra.services.manifest import tfvars

from .conftest import Environment, shell, web

pytestmark = pytest.mark.integration
# The one on PATH, or the one that comes as a Python package.
TERRAFORM = (
    ["terraform"]
    if shutil.which("terraform")
    else [sys.executable, "-I", "-m", "renecinfra.terraform.embedded"]
)
STACK = Path(__file__).parents[3] / "terraform" / "stacks" / "local"


class Stack:
    """Terraform in a copy of the stack, beside the environment it makes."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.directory = environment.paths.terraform
        shutil.copytree(STACK, self.directory, ignore=shutil.ignore_patterns("tests"))

    def run(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        done = subprocess.run(
            [*TERRAFORM, f"-chdir={self.directory}", *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "TF_IN_AUTOMATION": "1"},
        )
        assert done.returncode in codes, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, services: Sequence[Service], versions: dict[str, int] | None = None) -> None:
        self.environment.install(services)
        text = tfvars(services, self.environment.host, versions or {})
        (self.directory / "terraform.tfvars.json").write_text(text)

    def apply(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        return self.run("apply", "-auto-approve", "-input=false", "-no-color", *arguments, codes=codes)

    def is_current(self) -> bool:
        output = self.run("plan", "-detailed-exitcode", "-input=false", "-no-color", codes=(0, 2))
        return "No changes" in output


@pytest.fixture
def stack(environment: Environment) -> Stack:
    made = Stack(environment)
    made.run("init", "-input=false")
    return made


def test_from_nothing_to_nothing(stack: Stack) -> None:
    site, pooler, edge = web("site"), web("pgbouncer", Layer.DATABASE), web("edge", Layer.EDGE)
    job = shell("migrations", "echo done", kind="job")
    stack.install([site, pooler, job, edge])
    stack.apply()
    answers = stack.environment.supervision.health_all(["site", "pgbouncer", "migrations", "edge"])
    assert {name for name, answer in answers.items() if answer.ok} == {
        "site",
        "pgbouncer",
        "migrations",
        "edge",
    }
    assert stack.is_current()

    before = {
        name: stack.environment.supervision.processes()[name].pid for name in ("site", "pgbouncer", "edge")
    }
    changed = web("pgbouncer", Layer.DATABASE)
    stack.install([site, changed, job, edge])
    assert not stack.is_current()
    stack.apply()
    after = {name: stack.environment.supervision.processes()[name].pid for name in before}
    assert {name for name in before if before[name] != after[name]} == {"pgbouncer"}
    assert stack.is_current()

    output = stack.run("destroy", "-auto-approve", "-no-color")
    # Destroyed in reverse: the edge first, the supervisor last.
    order = [line.split(":")[0] for line in output.splitlines() if "Destruction complete" in line]
    assert order[0] == 'terraform_data.edge["edge"]'
    assert order[-1] == "terraform_data.supervisor"
    assert stack.environment.live() == []


def test_a_failed_service_is_tainted_and_the_next_apply_resumes(stack: Stack) -> None:
    good = web("good")
    stack.install([good, shell("bad", "echo the reason; exit 3")])
    output = stack.apply(codes=(1,))
    assert "bad ends as soon as it is started" in output
    assert "the reason" in output
    kept = stack.environment.pid("good")
    stack.install([good, shell("bad", "exec sleep 1000")])
    stack.apply()
    assert stack.environment.pid("good") == kept
    assert stack.environment.supervision.health("bad").ok
    assert stack.is_current()


def test_replacing_the_supervisor_replaces_all(stack: Stack) -> None:
    stack.install([web("one"), web("two", Layer.WORKLOAD)])
    stack.apply()
    (supervisor,) = stack.environment.live("supervisor")
    os.kill(supervisor.pid, signal.SIGKILL)
    assert stack.is_current(), "Terraform does not see processes"
    stack.apply("-replace=terraform_data.supervisor")
    answers = stack.environment.supervision.health_all(["one", "two"])
    assert all(answer.ok for answer in answers.values())


def test_addresses_are_what_replace_takes(stack: Stack) -> None:
    stack.install([web("one"), web("two")])
    stack.apply()
    before = stack.environment.pid("one"), stack.environment.pid("two")
    addresses = json.loads(stack.run("output", "-json", "addresses"))
    stack.apply(f"-replace={addresses['one']}")
    assert stack.environment.pid("one") != before[0]
    assert stack.environment.pid("two") == before[1]


def test_terraform_is_not_kept_waiting_by_what_it_started(stack: Stack) -> None:
    # A daemon that held the provisioner's stdout would hang the apply.
    stack.install([web("one")])
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        subprocess.run(
            [*TERRAFORM, f"-chdir={stack.directory}", "apply", "-auto-approve", "-input=false"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[write],
            timeout=60,
            check=True,
            env={"PATH": os.environ["PATH"], "HOME": str(stack.directory)},
        )
        os.close(write)
        os.set_blocking(read, False)
        assert os.read(read, 1) == b"", "nobody may still hold the descriptor"
    finally:
        os.close(read)
