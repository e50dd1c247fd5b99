"""What the command line makes of errors."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path
from typing import Any

import pytest

from renecinfra import cli
from renecinfra.cli import app as application
from renecinfra.cli.secrets import _read_value
from renecinfra.console import Console
from renecinfra.errors import DeclinedError, ExitCode, UsageError


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def app(**_: Any) -> int:
        raise error

    monkeypatch.setattr(application, "app", app)


def test_no_arguments_are_answered_by_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._run([]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: renecinfra")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ExitCode.TOOL),
        (PermissionError(errno.EACCES, "Permission denied", "/state/x"), ExitCode.TOOL),
        (PermissionError(errno.EPERM, "Operation not permitted"), ExitCode.BUG),
        (OSError(errno.EBADF, "Bad file descriptor"), ExitCode.BUG),
    ],
)
def test_what_the_machine_refuses_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, error: OSError, code: ExitCode
) -> None:
    failing(monkeypatch, error)
    assert cli._run(["status", "local"]) == code


def test_an_interruption_that_typer_made_an_exit_code_of_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "app", lambda **_: 130)
    with pytest.raises(KeyboardInterrupt):
        cli._run(["up", "local"])


def test_what_cannot_be_confirmed_is_shown_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(DeclinedError, match="no terminal"):
        Console().confirm("This deletes all of it.")
    assert "This deletes all of it." in capsys.readouterr().err


def test_the_end_of_the_terminal_input_writes_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def getpass(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", getpass)
    with pytest.raises(DeclinedError):
        _read_value("vault:a#b")


def test_a_secret_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    with pytest.raises(UsageError) as caught:
        _read_value("vault:a#b")
    assert caught.value.id == "secret-not-text"


def test_with_json_nothing_is_confirmed_unseen() -> None:
    with pytest.raises(DeclinedError, match="--json"):
        Console(json_output=True).confirm("Apply?")


def test_validate_reports_every_bad_profile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    directory = tmp_path / "environments"
    directory.mkdir()
    monkeypatch.setenv("RENECINFRA_WORKSPACE", str(tmp_path))
    for name, base in (("one", 80), ("two", 9000), ("three", 90)):
        platform = f"platform: {{kind: local, port_base: {base}}}"
        site = "harvest: {fake_site: {enabled: true}}"
        (directory / f"{name}.yaml").write_text(f"environment: {name}\n{platform}\n{site}\n")
    assert cli._run(["env", "validate"]) == ExitCode.PROFILE
    out, err = capsys.readouterr()
    assert out == "two is valid\n"
    assert "environments/one.yaml:2" in err
    assert "environments/three.yaml:2" in err
    assert cli._run(["env", "validate", "--json"]) == ExitCode.PROFILE
    document = json.loads(capsys.readouterr().out)
    assert document["valid"] == ["two"]
    assert sorted(document["invalid"]) == ["one", "three"]
