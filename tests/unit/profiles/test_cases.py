"""The corpus of bad profiles: each gives its one error, where it was written, and nothing is touched.

A case's first line is `# expect: ID LINE:COLUMN MESSAGE`, the place with `FILE:` before it when it is not the
case itself; MESSAGE is a part of the message. The files that cases extend are in cases/bases.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from renecinfra.errors import ExitCode, ProfileError
from renecinfra.profiles.loading import load
from renecinfra.workspace import Workspace

CASES = Path(__file__).parent / "cases"
FILES = sorted(CASES.glob("*.error.*.yaml"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("workspace")
    shutil.copytree(CASES / "bases", root / "environments")
    return Workspace(root)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }


def test_there_are_enough_cases() -> None:
    assert len(FILES) >= 60
    names = [file.name.split(".")[0] for file in FILES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.split(".")[0])
def test_case(file: Path, workspace: Workspace) -> None:
    data = file.read_bytes()
    first = data.splitlines()[0].decode()
    expect, id_, place, message = first.removeprefix("# ").split(" ", 3)
    assert expect == "expect:"
    assert file.name.split(".")[2] == id_
    (workspace.environments / "case.yaml").write_bytes(data)
    before = snapshot(workspace.root)
    with pytest.raises(ProfileError) as caught:
        load(workspace, "case", environ={})
    error = caught.value
    assert error.id == id_
    assert message in error.message
    path = place if place.count(":") == 2 else f"case.yaml:{place}"
    assert str(error.location) == f"environments/{path}"
    assert error.exit_code == ExitCode.PROFILE == 3
    assert error.hint
    assert not error.message.endswith(".")
    assert snapshot(workspace.root) == before


@pytest.mark.parametrize("name", ["good", "cluster", "guarded"])
def test_the_bases_themselves_are_sound(name: str, workspace: Workspace) -> None:
    (workspace.environments / "case.yaml").write_text(f"extends: {name}\nenvironment: case\n")
    assert load(workspace, "case", environ={}).profile.environment == "case"


def test_a_case_says_one_thing_only(workspace: Workspace) -> None:
    text = "extends: good\nenvironment: case\nedge: {gzip: 1}\n"
    text += "database:\n  replicas: x\n  max_connections: 1\n"
    (workspace.environments / "case.yaml").write_text(text)
    with pytest.raises(ProfileError) as caught:
        load(workspace, "case", environ={})
    assert caught.value.message == "edge.gzip must be true or false"
    assert caught.value.details == (
        "environments/case.yaml:5:13: database.replicas must be a whole number",
        "environments/case.yaml:6:20: database.max_connections must be at least 20",
    )
