"""`renecinfra plan` with real Terraform, on an environment that was never up; nothing runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.ports import free_port_base

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
NAME = "planned"
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("workspace")
    for part in ("environments", "templates", "terraform"):
        shutil.copytree(ROOT / part, directory / part)
    (directory / "environments" / f"{NAME}.yaml").write_text(
        f"environment: {NAME}\nextends: local\nsecrets: {{provider: generated}}\n"
        f"platform:\n  port_base: {free_port_base()}\n"
    )
    return directory


@pytest.fixture(scope="module")
def cli(workspace: Path) -> Cli:
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "renecinfra", *arguments],
            cwd=workspace,
            env=os.environ | {"RENECINFRA_WORKSPACE": str(workspace), "COLUMNS": "200"} | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [value] if isinstance(value, str) else []


def schema(name: str) -> dict[str, object]:
    return json.loads((ROOT / "docs" / "reference" / "schemas" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def saved(cli: Cli, workspace: Path) -> Path:
    path = workspace / "saved.json"
    done = cli("plan", NAME, "--json", "--detailed-exitcode", "--out", str(path))
    assert done.returncode == 2, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, schema("plan"))
    graded = {change["address"]: change for change in document["graded"]}
    assert graded['terraform_data.edge["edge"]']["grade"] == "safe"
    assert {change["layer"] for change in graded.values()} == {"terraform", "file", "secret", "hook"}
    assert document["counts"]["stateful"] == 0
    return path


def test_what_is_saved_is_private_and_the_plan_leaves_nothing_else(saved: Path, workspace: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    state = workspace / ".renecinfra" / NAME
    assert not list(state.glob("*.tfplan"))
    assert not (state / "terraform" / "terraform.tfstate").exists()


def test_the_table_and_the_comment_say_the_same(saved: Path, cli: Cli) -> None:
    done = cli("plan", NAME, "--format", "markdown")
    assert done.returncode == 0
    assert done.stdout.startswith("<!-- renecinfra plan -->\n")
    assert '`terraform_data.foundation["postgresql-primary"]`' in done.stdout
    secrets = json.loads((saved.parent / ".renecinfra" / NAME / "secrets.json").read_text())
    values = [value for value in leaves(secrets) if len(value) > 20]
    assert values and not any(value in done.stdout for value in values)


def test_a_saved_plan_of_another_profile_is_refused(saved: Path, cli: Cli) -> None:
    done = cli("up", NAME, "--plan", str(saved), "--set", "workloads.api.replicas=3", "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["error"]["id"] == "plan-profile"


def test_a_saved_plan_of_another_template_is_refused_with_the_difference(
    saved: Path, cli: Cli, workspace: Path
) -> None:
    template = workspace / "templates" / "redis" / "redis.conf.j2"
    before = template.read_text(encoding="utf-8")
    try:
        template.write_text(before + "\n# changed since\n", encoding="utf-8")
        done = cli("up", NAME, "--plan", str(saved))
    finally:
        template.write_text(before, encoding="utf-8")
    assert done.returncode == 4
    assert "error[plan-stale]" in done.stderr
    assert "otherwise: create redis-broker/redis.conf" in done.stderr


def test_a_saved_plan_with_another_key_is_refused_before_anything_is_planned(saved: Path, cli: Cli) -> None:
    done = cli("up", NAME, "--plan", str(saved), RENECINFRA_PLAN_KEY="z" * 40)
    assert done.returncode == 4
    assert "error[plan-signature]" in done.stderr
    assert "Rendering" not in done.stderr
