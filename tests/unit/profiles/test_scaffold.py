from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from renecinfra.errors import ProfileError
from renecinfra.profiles.catalog import environments
from renecinfra.profiles.loading import load
from renecinfra.profiles.ports import listeners
from renecinfra.profiles.scaffold import PlatformKind, free_port_base, new
from renecinfra.profiles.schema import HEADER
from renecinfra.workspace import Workspace

ROOT = Path(__file__).parents[3]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    shutil.copytree(ROOT / "environments", tmp_path / "environments")
    return Workspace(tmp_path)


def files(workspace: Workspace) -> set[str]:
    return {path.name for path in workspace.environments.iterdir()}


@pytest.mark.parametrize("platform", ["local", "aws", "kubernetes"])
def test_a_new_profile_is_valid(workspace: Workspace, platform: PlatformKind) -> None:
    before = files(workspace)
    path = new(workspace, "fresh", platform)
    assert path.read_text().startswith(f"{HEADER}\nextends: base\nenvironment: fresh\n")
    assert path.stat().st_mode & 0o777 == 0o644
    assert load(workspace, "fresh", environ={}).profile.platform.kind == platform
    assert files(workspace) == {*before, "fresh.yaml"}


@pytest.mark.parametrize("platform", ["local", "aws", "kubernetes"])
def test_it_needs_no_base(tmp_path: Path, platform: PlatformKind) -> None:
    (tmp_path / "environments").mkdir()
    workspace = Workspace(tmp_path)
    assert "extends" not in new(workspace, "fresh", platform).read_text()
    assert load(workspace, "fresh", environ={}).profile.platform.kind == platform


def test_local_environments_share_no_port(workspace: Workspace) -> None:
    for name in ("one", "two", "three"):
        new(workspace, name, extends=["local"] if name == "two" else [])
    taken = [
        listener.port
        for name in ("local", "one", "two", "three")
        for listener in listeners(load(workspace, name, environ={}).profile)
    ]
    assert len(taken) == len(set(taken))


def test_a_given_port_base_is_taken(workspace: Workspace) -> None:
    new(workspace, "fresh", port_base=12_000)
    assert load(workspace, "fresh", environ={}).profile.local.port_base == 12_000


def test_a_gap_too_small_is_no_place(workspace: Workspace) -> None:
    new(workspace, "near", port_base=8440 + 150)
    assert free_port_base(workspace) == 8440 + 300


def test_extending_prod_needs_nothing_more(workspace: Workspace) -> None:
    path = new(workspace, "preview", "aws", ["prod"])
    assert path.read_text() == f"{HEADER}\nextends: prod\nenvironment: preview\n"


def test_the_name_does_not_open_paths(workspace: Workspace) -> None:
    before = files(workspace)
    for name in ("../fresh", "Fresh", "f", "fresh.yaml", ""):
        with pytest.raises(ProfileError) as caught:
            new(workspace, name)
        assert caught.value.id == "profile-name"
    assert files(workspace) == before


def test_nothing_is_written_over(workspace: Workspace) -> None:
    before = (workspace.environments / "local.yaml").read_text()
    with pytest.raises(ProfileError) as caught:
        new(workspace, "local")
    assert caught.value.id == "profile-exists"
    assert (workspace.environments / "local.yaml").read_text() == before


def test_what_would_be_invalid_is_not_left_behind(workspace: Workspace) -> None:
    before = files(workspace)
    for platform, bases, base in (
        ("local", ["prod"], None),
        ("local", ["nowhere"], None),
        ("local", [], 80),
        ("aws", [], 9000),
    ):
        with pytest.raises(ProfileError):
            new(workspace, "fresh", platform, bases, base)  # type: ignore[arg-type]
        assert files(workspace) == before


class TestCatalog:
    def test_shipped(self, workspace: Workspace) -> None:
        found = {one.name: one for one in environments(workspace, {})}
        assert list(found) == ["local", "onprem", "prod", "staging"]
        assert all(one.valid for one in found.values())
        assert (found["prod"].platform, found["prod"].protected) == ("aws", True)
        assert (found["local"].platform, found["local"].port_base) == ("local", 8440)

    def test_a_wrong_one_is_listed_with_its_error(self, workspace: Workspace) -> None:
        (workspace.environments / "broken.yaml").write_text("environment: broken\nplatform: {kind: local\n")
        (workspace.environments / "wrong.yaml").write_text("extends: local\nenvironment: other\n")
        found = {one.name: one.error for one in environments(workspace, {})}
        assert found["broken"] is not None
        assert found["broken"].id == "profile-syntax"
        assert found["wrong"] is not None
        assert found["wrong"].id == "profile-invalid"
        assert found["local"] is None
        assert "base" not in found
