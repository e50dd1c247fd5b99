from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from renecinfra.errors import ExitCode, Location, LockedError, TerraformError
from renecinfra.terraform.diagnostics import Diagnostic, StateLockedError, error_from, parse_lock, parse_text

LOCK = """Error message: resource temporarily unavailable
Lock Info:
  ID:        ed1bc5a8-8f0d-8ec2-5df1-6a9f0c7a9d5e
  Path:      terraform.tfstate
  Operation: OperationTypeApply
  Who:       ana@laptop
  Version:   1.11.4
  Created:   2026-11-24 17:30:48.447928511 +0000 UTC
  Info:


Terraform acquires a state lock to protect the state from being written
by multiple users at the same time."""

BOXED = """
╷
│ Error: Unsupported argument
│
│   on main.tf line 2:
│    2:   nonsense = 1
╵
╷
│ Error: Second
│
│ With a detail.
╵
"""


def test_the_first_error_is_the_message_and_the_others_are_details() -> None:
    error = error_from(
        [
            Diagnostic("warning", "Deprecated"),
            Diagnostic("error", "It broke.", "Line one\n\nLine two", "a.b", "main.tf", 4, 2),
            Diagnostic("error", "So did this", "Why"),
        ],
        "apply",
        Path("/stack"),
        "terraform apply",
    )

    assert isinstance(error, TerraformError)
    assert error.exit_code == ExitCode.TERRAFORM
    assert error.message == "a.b: It broke"
    assert error.location == Location("/stack/main.tf", 4, 2)
    assert error.details == ("Line one", "Line two", "also: So did this", "Why")
    assert error.hint == "to repeat it: terraform apply"


def test_a_failure_without_a_word_shows_the_output() -> None:
    error = error_from([], "plan", Path("/stack"), "terraform plan", ["panic: oh no"])

    assert "did not say why" in error.message
    assert error.details == ("panic: oh no",)


def test_a_held_state_lock() -> None:
    error = error_from([Diagnostic("error", "Error acquiring the state lock", LOCK)], "plan", Path("/s"), "")

    assert isinstance(error, StateLockedError)
    assert isinstance(error, LockedError)
    assert error.exit_code == ExitCode.LOCKED
    assert error.info.id == "ed1bc5a8-8f0d-8ec2-5df1-6a9f0c7a9d5e"
    assert error.info.created == datetime(2026, 11, 24, 17, 30, 48, tzinfo=UTC)
    assert "ana@laptop (OperationTypeApply) since 2026-11-24 17:30:48" in error.message
    assert error.hint is not None
    assert error.info.id in error.hint


def test_a_lock_error_without_info_is_terraforms_own() -> None:
    diagnostic = Diagnostic("error", "Error acquiring the state lock", "Access denied")

    assert isinstance(error_from([diagnostic], "plan", Path("/s"), ""), TerraformError)


def test_a_lock_that_tells_little() -> None:
    info = parse_lock("Lock Info:\n  ID: x\n  Created: yesterday\n")

    assert info is not None
    assert (info.id, info.who, info.created) == ("x", "", None)


def test_errors_out_of_the_box() -> None:
    first, second = parse_text(BOXED)

    assert first.summary == "Unsupported argument"
    assert "on main.tf line 2:" in first.detail
    assert (second.summary, second.detail) == ("Second", "With a detail.")


def test_text_without_an_error() -> None:
    assert parse_text("Initializing…\nError is a word here\n") == []
