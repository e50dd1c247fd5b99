"""What Terraform says went wrong, as data and as errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from renecinfra.errors import Location, LockedError, TerraformError

_LOCK_SUMMARY: Final = "Error acquiring the state lock"
_LOCK_FIELD: Final = re.compile(
    r"^\s*(ID|Path|Operation|Who|Version|Created|Info):[ \t]*(.*?)\s*$", re.MULTILINE
)
# `2026-11-24 17:30:48.447928 +0000 UTC`, as Go prints a time.
_GO_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d{4})")
# The box that Terraform draws around an error in its output for people.
_BOX: Final = re.compile(r"^[╷│╵]\s?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error or warning: ``path`` is relative to the stack, ``line`` and ``column`` count from 1."""

    severity: Literal["error", "warning"]
    summary: str
    detail: str = ""
    address: str | None = None
    path: str | None = None
    line: int = 1
    column: int = 1

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Diagnostic:
        """From the ``diagnostic`` object of ``-json`` output and of ``validate -json``."""
        place = _mapping(data.get("range"))
        start = _mapping(place.get("start"))
        address, path = data.get("address"), place.get("filename")
        return cls(
            severity="warning" if data.get("severity") == "warning" else "error",
            summary=str(data.get("summary", "")),
            detail=str(data.get("detail", "")),
            address=str(address) if address else None,
            path=str(path) if path else None,
            line=_count(start.get("line")),
            column=_count(start.get("column")),
        )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 1


@dataclass(frozen=True, slots=True)
class LockInfo:
    """Who holds a state's lock, as the backend recorded it; ``created`` is None where it cannot be read."""

    id: str
    path: str
    operation: str
    who: str
    created: datetime | None


class StateLockedError(LockedError):
    """Another run, or the remains of one, holds the lock of the state in its backend."""

    def __init__(self, info: LockInfo) -> None:
        by, doing = info.who or "somebody", info.operation or "unknown operation"
        since = f" since {info.created:%Y-%m-%d %H:%M:%S %Z}" if info.created else ""
        super().__init__(
            "state-locked",
            f"Terraform's state is locked by {by} ({doing}){since}",
            hint=f"wait for that run; if it is dead for certain, run `terraform force-unlock {info.id}`",
            details=(f"lock id: {info.id}", f"state: {info.path}"),
        )
        self.info = info


def parse_lock(detail: str) -> LockInfo | None:
    """The ``Lock Info`` block of a diagnostic's detail."""
    fields = {name: value for name, value in _LOCK_FIELD.findall(detail) if value}
    if "ID" not in fields:
        return None
    return LockInfo(
        id=fields["ID"],
        path=fields.get("Path", ""),
        operation=fields.get("Operation", ""),
        who=fields.get("Who", ""),
        created=_go_time(fields.get("Created", "")),
    )


def _go_time(text: str) -> datetime | None:
    match = _GO_TIME.match(text)
    return datetime.strptime(" ".join(match.groups()), "%Y-%m-%d %H:%M:%S %z") if match else None


def parse_text(text: str) -> list[Diagnostic]:
    """The errors of output that is meant for people (``init``, ``show``), box and all."""
    parts = re.split(r"^Error: ", _BOX.sub("", text), flags=re.MULTILINE)[1:]
    found = []
    for part in parts:
        summary, _, detail = part.partition("\n")
        found.append(Diagnostic("error", summary.strip(), detail.strip()))
    return found


def error_from(
    diagnostics: Sequence[Diagnostic], command: str, directory: Path, repeat: str, output: Sequence[str] = ()
) -> TerraformError | LockedError:
    """The error to raise for a failed ``terraform COMMAND``.

    Args:
        diagnostics: what it said; the first error becomes the message, the others become details.
        command: the subcommand.
        directory: the stack, which the paths of the diagnostics are relative to.
        repeat: the command line that a person can repeat.
        output: the last lines that are no diagnostics, for a failure that Terraform did not explain.
    """
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    for error in errors:
        if error.summary == _LOCK_SUMMARY and (info := parse_lock(error.detail)) is not None:
            return StateLockedError(info)
    if not errors:
        return TerraformError(
            "terraform-failed",
            f"terraform {command} failed and did not say why",
            hint=f"to repeat it: {repeat}",
            details=tuple(output),
        )
    first, *others = errors
    details = [*_described(first)]
    for other in others:
        details += [f"also: {_headline(other)}", *_described(other)]
    location = Location(str(directory / first.path), first.line, first.column) if first.path else None
    return TerraformError(
        "terraform-failed",
        _headline(first).rstrip("."),
        hint=f"to repeat it: {repeat}",
        location=location,
        details=tuple(details),
    )


def _headline(diagnostic: Diagnostic) -> str:
    return f"{diagnostic.address}: {diagnostic.summary}" if diagnostic.address else diagnostic.summary


def _described(diagnostic: Diagnostic) -> list[str]:
    return [line.rstrip() for line in diagnostic.detail.strip().splitlines() if line.strip()]
