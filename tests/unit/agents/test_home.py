"""Manifests and secret files, as the agents read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from renecinfra.agents.home import AgentError, load_home, load_manifest, manifests, read_env_file


def env_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "secret.env"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_variables(tmp_path: Path) -> None:
    path = env_file(tmp_path, '# why\n\nPLAIN=a=b "c"\nQUOTED="line\\nä\\""\nEMPTY=\n')
    assert read_env_file(path) == {"PLAIN": 'a=b "c"', "QUOTED": 'line\nä"', "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\ns3cret\n", r"secret.env:2: not KEY=VALUE"),
        ("s3-cret=1\n", r"secret.env:1: not KEY=VALUE"),
        ('A="s3cret\n', r"secret.env:1: the quoted value is not JSON"),
    ],
)
def test_a_bad_line_is_named_and_not_shown(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AgentError, match=message) as caught:
        read_env_file(env_file(tmp_path, text))
    assert "cret=" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(AgentError, match="its mode must be 0600"):
        read_env_file(env_file(tmp_path, "A=1\n", mode))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="No such file"):
        read_env_file(tmp_path / "none")


def test_nothing_installed(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="not installed"):
        load_home(tmp_path)
    with pytest.raises(AgentError, match="there is no service api-1"):
        load_manifest(tmp_path, "api-1")
    assert manifests(tmp_path) == []


def test_a_torn_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "environment.json").write_text("{")
    with pytest.raises(AgentError, match=r"cannot read .*environment.json"):
        load_home(tmp_path)
