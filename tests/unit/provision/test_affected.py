"""Which environments a change concerns, and what git says changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from renecinfra import git
from renecinfra.errors import ToolError, UsageError
from renecinfra.provision.affected import affected, environments
from renecinfra.workspace import Workspace

ROOT = Path(__file__).parents[3]


def run(directory: Path, *arguments: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A workspace below the root of a repository, as some people have it."""
    workspace = tmp_path / "infra"
    workspace.mkdir()
    shutil.copytree(ROOT / "environments", workspace / "environments")
    (workspace / "README.md").write_text("a\n")
    run(tmp_path, "init", "-q", "-b", "main")
    run(tmp_path, "add", "-A")
    run(tmp_path, "commit", "-qm", "one")
    return workspace


def test_which_environments_there_are() -> None:
    assert environments(Workspace(ROOT)) == {
        "local": "local",
        "onprem": "kubernetes",
        "prod": "aws",
        "staging": "aws",
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("environments/base.yaml", {"local", "onprem", "prod", "staging"}),
        ("environments/prod.yaml", {"prod", "staging"}),
        ("environments/staging.yaml", {"staging"}),
        ("environments/schema.json", set()),
        ("templates/monitoring/rules/ApiDown.yaml.j2", {"local", "onprem", "prod", "staging"}),
        ("templates/charts/renec/values.yaml", {"onprem", "prod", "staging"}),
        ("templates/redis/redis.conf.j2", {"local"}),
        ("terraform/modules/database/main.tf", {"prod", "staging"}),
        ("terraform/stacks/local/main.tf", {"local"}),
        ("terraform/stacks/local/tests/layers.tftest.hcl", set()),
        ("renecinfra/rendering.py", {"local", "onprem", "prod", "staging"}),
        ("docs/index.md", set()),
        ("README.md", set()),
    ],
)
def test_what_a_path_concerns(path: str, expected: set[str]) -> None:
    found = affected(Workspace(ROOT), [path, "docs/other.md"])
    assert set(found) == expected
    assert all(reasons == (path,) for reasons in found.values())


def test_a_broken_profile_is_planned_so_that_it_is_told(repository: Path) -> None:
    (repository / "environments" / "broken.yaml").write_text("extends: nothing\n")
    found = affected(Workspace(repository), ["environments/broken.yaml"])
    assert found == {"broken": ("environments/broken.yaml",)}


def test_what_git_says_changed(repository: Path) -> None:
    run(repository, "switch", "-qc", "topic")
    (repository / "environments" / "staging.yaml").write_text("extends: prod\nenvironment: staging\n")
    run(repository, "commit", "-qam", "two")
    run(repository, "mv", "README.md", "OTHER.md")
    (repository / "environments" / "new.yaml").write_text("extends: local\nenvironment: new\n")
    run(repository, "switch", "-q", "main")
    (repository / "environments" / "prod.yaml").write_text("environment: prod\n")
    run(repository, "commit", "-qm", "later on main", "environments/prod.yaml")
    run(repository, "switch", "-q", "topic")

    changed = git.changed_since(repository, "main")
    assert changed == ("OTHER.md", "README.md", "environments/new.yaml", "environments/staging.yaml")
    assert git.changed_since(repository, "HEAD") == ("OTHER.md", "README.md", "environments/new.yaml")


@pytest.mark.parametrize("reference", ["nothing", "--output=x", "HEAD~7"])
def test_an_unknown_reference_is_refused(repository: Path, reference: str) -> None:
    with pytest.raises(UsageError, match="git knows no commit"):
        git.changed_since(repository, reference)
    assert not (repository / "x").exists()


def test_outside_of_git(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="not in a git repository"):
        git.changed_since(tmp_path, "main")
    assert git.head(tmp_path) is None


def test_the_commit(repository: Path) -> None:
    name = run(repository, "rev-parse", "HEAD")
    assert str(git.head(repository)) == name
    (repository / "new").write_text("")
    assert str(git.head(repository)) == f"{name}-dirty"
