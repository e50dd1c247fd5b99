"""Every module and the stack: form, real `validate` and real `test` against the provider's schema."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from renecinfra.platforms.aws import stack, variables
from renecinfra.profiles.loading import load
from renecinfra.rendering import Renderer
from renecinfra.workspace import Workspace
from tests.aws.provider.mirror import Mirror

pytestmark = [pytest.mark.integration]

ROOT = Path(__file__).parents[3]
MODULES = sorted(path for path in (ROOT / "terraform" / "modules").iterdir() if path.is_dir())


def terraform(directory: Path, mirror: Mirror, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("no terraform on PATH: the bundled one has no `test` in its own process")
    environ = {**os.environ, **mirror.environment, "TF_IN_AUTOMATION": "1", "TF_VAR_redis_password": "x" * 20}
    return subprocess.run(
        [program, *arguments, "-no-color"],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def copied(tmp_path: Path) -> Path:
    """The HCL, where a test may write beside it."""
    target = tmp_path / "terraform"
    ignored = shutil.ignore_patterns(".terraform*")
    shutil.copytree(ROOT / "terraform" / "modules", target / "modules", ignore=ignored)
    shutil.copytree(ROOT / "terraform" / "stacks" / "aws", target / "stacks" / "aws", ignore=ignored)
    return target


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_is_whole(module: Path):
    for name in (
        "main.tf",
        "variables.tf",
        "outputs.tf",
        "versions.tf",
        "README.md",
        "tests/rules.tftest.hcl",
    ):
        assert (module / name).is_file() or (name == "main.tf" and module.name == "alarms"), name
    text = (module / "variables.tf").read_text() + (module / "outputs.tf").read_text()
    for kind, name, body in re.findall(
        r'^(variable|output) "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL
    ):
        assert re.search(r"^  description = \"\S", body, re.MULTILINE), f"{kind} {name} says what it is"
        assert kind == "output" or re.search(r"^  type ", body, re.MULTILINE), f"{name} has a type"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_the_rules_of_a_module_hold(module: Path, mirror: Mirror, tmp_path: Path):
    directory = copied(tmp_path) / "modules" / module.name
    init = terraform(directory, mirror, "init", "-input=false")
    assert init.returncode == 0, init.stderr
    done = terraform(directory, mirror, "test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout


@pytest.mark.parametrize("environment", ["prod", "staging"])
def test_an_environment_is_planned_in_form(environment: str, mirror: Mirror, tmp_path: Path):
    """As rendered: formatted, valid, planned; applied with made-up values, it is planned to nothing."""
    workspace = Workspace(ROOT)
    profile = load(workspace, environment).profile
    rendered = stack.bundle(
        profile, Renderer(workspace.templates), workspace.terraform, variables.variables(profile, 3)
    )
    stack.write(rendered, tmp_path)
    assert terraform(tmp_path, mirror, "fmt", "-check", "-recursive").stdout == ""
    root = tmp_path / stack.ROOT
    (root / "backend.tf").unlink()  # it is tried against moto by the tests of `up`
    for arguments in (("init", "-input=false"), ("validate",), ("plan", "-out=plan"), ("apply", "plan")):
        done = terraform(root, mirror, *arguments)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert terraform(root, mirror, "plan", "-detailed-exitcode").returncode == 0
