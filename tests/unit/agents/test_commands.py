"""The command lines of the agents, and what they import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import renecinfra.agents
from renecinfra.agents import control, launch, logs

AGENTS = Path(renecinfra.agents.__file__).parent


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["up"],
        ["--home"],
        ["--home", "/x", "dance"],
        ["--home", "/x", "start"],
        ["--home", "/x", "up", "y"],
    ],
)
def test_a_wrong_command_line_is_64(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert control.main(arguments) == 64
    assert "usage:" in capsys.readouterr().err


def test_launch_wants_a_home_and_a_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.main(["api-1"]) == 64
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["up"], ["down"], ["status"], ["start", "api-1"], ["stop", "api-1"]])
def test_nothing_installed_is_1(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert control.main(["--home", str(tmp_path), *arguments]) == 1
    assert "not installed" in capsys.readouterr().err
    assert launch.main(["--home", str(tmp_path), "api-1"]) == 1


@pytest.mark.parametrize("path", sorted(AGENTS.glob("*.py")), ids=lambda path: path.name)
def test_only_the_standard_library_is_imported(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            allowed = {*sys.stdlib_module_names, *(["supervisor"] if path.name == "daemon.py" else [])}
            assert name.startswith("renecinfra.agents") or name.split(".")[0] in allowed


def test_slow_modules_are_not_imported_at_start() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import renecinfra.agents.control; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(AGENTS.parents[1])],
        capture_output=True,
        text=True,
        check=True,
    )
    slow = {
        "subprocess",
        "ssl",
        "http.client",
        "xmlrpc.client",
        "argparse",
        "logging",
        "dataclasses",
        "inspect",
    }
    assert not slow & set(done.stdout.split())


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    assert logs.tail(log, 5) == []
    log.write_bytes(b"one\ntwo\nthr\xffee")
    assert logs.tail(log, 2) == ["two", "thr\ufffdee"]
    assert logs.tail(log, 0) == []
    log.write_text("".join(f"{number:0100}\n" for number in range(2000)))
    assert logs.tail(log, 2) == [f"{1998:0100}", f"{1999:0100}"]
    assert all(len(line) == 100 for line in logs.tail(log, 5000))
    link = tmp_path / "link.log"
    link.symlink_to(log)
    assert logs.tail(link, 1) == []
