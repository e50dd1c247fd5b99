"""A small workspace to write profiles in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from renecinfra.profiles.loading import LoadedProfile, load
from renecinfra.workspace import Workspace

BASE = """\
platform:
  kind: local
  port_base: 9440
harvest:
  fake_site: {enabled: true}
  download_delay: 20ms
"""
HEAD = "extends: base\nenvironment: here\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "base.yaml").write_text(BASE)
    (tmp_path / "environments" / "here.yaml").write_text(HEAD)
    return Workspace(tmp_path)


@pytest.fixture
def write(workspace: Workspace) -> Callable[..., None]:
    def _write(**files: str) -> None:
        for name, text in files.items():
            (workspace.environments / f"{name.replace('_', '-')}.yaml").write_text(text)

    return _write


@pytest.fixture
def loaded(workspace: Workspace) -> Callable[..., LoadedProfile]:
    def _loaded(*overrides: str, environ: dict[str, str] | None = None) -> LoadedProfile:
        return load(workspace, "here", overrides, environ or {})

    return _loaded
