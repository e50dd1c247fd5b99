"""What ``pgbackrest verify`` prints, as values. Its exit code is 0 whatever it finds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_STATUS: Final = re.compile(r"^\s*status: (\w+)\s*$", re.MULTILINE)
_ARCHIVE: Final = re.compile(
    r"archiveId: (?P<name>\S+), total WAL checked: (?P<total>\d+), total valid WAL: (?P<valid>\d+)"
)
_BACKUP: Final = re.compile(
    r"backup: (?P<name>\S+), status: (?P<status>[\w -]+), total files checked: (?P<total>\d+), "
    r"total valid files: (?P<valid>\d+)"
)
_COUNTS: Final = re.compile(
    r"missing: (?P<missing>\d+), checksum invalid: (?P<checksum>\d+), "
    r"size invalid: (?P<size>\d+), other: (?P<other>\d+)"
)


@dataclass(frozen=True, slots=True)
class Checked:
    """A line of pgBackRest's ``verify``: a backup or an archive and how much of it is whole."""

    kind: str
    name: str
    total: int
    valid: int
    missing: int
    checksum: int
    size: int
    other: int
    status: str = ""

    @property
    def ok(self) -> bool:
        """Whether all of it is whole."""
        return self.total == self.valid and not (self.missing + self.checksum + self.size + self.other)

    def describe(self) -> str:
        """What is wrong, or how much was read."""
        unit = "segments" if self.kind == "archive" else "files"
        if self.ok:
            return f"{self.valid} {unit} read and whole"
        wrong = {
            "missing": self.missing,
            "with a wrong checksum": self.checksum,
            "of a wrong size": self.size,
            "unreadable": self.other,
        }
        listed = ", ".join(f"{count} {what}" for what, count in wrong.items() if count)
        return f"of {self.total} {unit} {listed or f'only {self.valid} are whole'}"


def parse_verify(text: str) -> tuple[bool, list[Checked]]:
    """Whether pgBackRest says that all is well, and what it checked. What it does not say is not well."""
    found: list[Checked] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        for kind, pattern in (("archive", _ARCHIVE), ("backup", _BACKUP)):
            match = pattern.search(line)
            if match is None:
                continue
            counts = _COUNTS.search(lines[number + 1]) if number + 1 < len(lines) else None
            numbers = (
                {key: int(value) for key, value in counts.groupdict().items()} if counts else {"other": 1}
            )
            status = match.groupdict().get("status", "") or ""
            found.append(
                Checked(
                    kind,
                    match["name"],
                    int(match["total"]),
                    int(match["valid"]),
                    numbers.get("missing", 0),
                    numbers.get("checksum", 0),
                    numbers.get("size", 0),
                    numbers.get("other", 0),
                    status.strip(),
                )
            )
    status = _STATUS.search(text)
    return status is not None and status[1] == "ok", found
