"""Finding the workspace, and where an environment keeps its state."""

import os

import pytest

from renecinfra.errors import ToolError
from renecinfra.workspace import Workspace, find_workspace


def test_it_is_found_from_below(tmp_path, monkeypatch):
    monkeypatch.delenv("RENECINFRA_WORKSPACE", raising=False)
    (tmp_path / "environments").mkdir()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_workspace(below).root == tmp_path


def test_the_variable_wins_and_is_not_searched_upwards(tmp_path, monkeypatch):
    (tmp_path / "environments").mkdir()
    (tmp_path / "inner").mkdir()
    monkeypatch.setenv("RENECINFRA_WORKSPACE", str(tmp_path / "inner"))
    with pytest.raises(ToolError, match="not in a renecinfra workspace"):
        find_workspace(tmp_path)


def test_none_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.delenv("RENECINFRA_WORKSPACE", raising=False)
    with pytest.raises(ToolError) as caught:
        find_workspace(tmp_path)
    assert caught.value.hint


def test_sockets_have_a_short_directory_however_deep_the_workspace_is(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    assert len(os.fsencode(Workspace(deep).paths("local").run)) <= 80


def test_two_environments_share_nothing(tmp_path):
    one, two = (Workspace(tmp_path).paths(name) for name in ("local", "other"))
    assert one.state != two.state
    assert one.home != two.home
    assert one.run != two.run
