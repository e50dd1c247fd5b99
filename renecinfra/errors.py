"""Errors that people see, and the exit codes that scripts see. Imports nothing of ours.

Every error that a user can meet is a :class:`RenecError` with a stable id, one message, where it is,
and a hint. ``cli.main`` is the one place that turns it into output and an exit code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process exits with; documented in docs/reference/exit-codes.md."""

    OK = 0
    FAILURE = 1
    CHANGES = 2
    PROFILE = 3
    TOOL = 4
    SECRETS = 5
    TERRAFORM = 6
    CLUSTER = 7
    HOOK = 8
    RESTORE = 9
    LOCKED = 11
    USAGE = 64
    BUG = 70
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file; line and column count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class RenecError(Exception):
    """An error with a stable id, a location where there is one, and a hint that says what to do.

    ``message`` is one sentence without a full stop; ``details`` are further lines (a log tail, other
    problems of the same file). None of them may hold a secret: they are printed and logged.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILURE

    def __init__(
        self,
        id: str,  # noqa: A002 - the field's own term
        message: str,
        *,
        hint: str | None = None,
        location: Location | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.id = id
        self.message = message
        self.hint = hint
        self.location = location
        self.details = details


class DeclinedError(RenecError):
    """The user answered no, or nothing could ask (not a terminal and no ``--yes``)."""


class ProfileError(RenecError):
    """A profile, an override or a template is wrong."""

    exit_code = ExitCode.PROFILE


class ToolError(RenecError):
    """A binary is missing or too old, a port is taken, a precondition of the work does not hold."""

    exit_code = ExitCode.TOOL


class SecretsError(RenecError):
    """A secret cannot be had or stored."""

    exit_code = ExitCode.SECRETS


class TerraformError(RenecError):
    """Terraform refused or failed."""

    exit_code = ExitCode.TERRAFORM


class ClusterError(RenecError):
    """Helm or the cluster refused or failed."""

    exit_code = ExitCode.CLUSTER


class HookError(RenecError):
    """The environment was applied, but a hook or the verification failed."""

    exit_code = ExitCode.HOOK


class RestoreError(RenecError):
    """A restore was refused or failed."""

    exit_code = ExitCode.RESTORE


class LockedError(RenecError):
    """Another run holds the environment."""

    exit_code = ExitCode.LOCKED


class UsageError(RenecError):
    """The command line is wrong."""

    exit_code = ExitCode.USAGE


class BugError(RenecError):
    """Something went wrong that is nobody's fault but ours."""

    exit_code = ExitCode.BUG


class InterruptedRunError(RenecError):
    """The user pressed Ctrl-C, or the process got SIGTERM; what ran has been waited for."""

    exit_code = ExitCode.INTERRUPTED
