"""checkov and trivy over what is rendered and over Terraform's files, where they are installed.

Both run without a network. What they find joins our own rules' findings, as `checkov:ID` and `trivy:ID`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import Location, ToolError
from renecinfra.process import run
from renecinfra.rendering import Bundle
from renecinfra.review.policy.rules import Finding, Severity

_TIMEOUT: Final = 300.0
_DENIED: Final = ("HIGH", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Scanner:
    """A program, how it is asked about a directory, and how its answer is read."""

    name: str
    argv: Callable[[str], list[str]]
    read: Callable[[Any], Iterator[Finding]]

    def installed(self) -> bool:
        """Whether it can be run here."""
        return shutil.which(self.name) is not None

    def scan(self, bundle: Bundle, stack: Path) -> list[Finding]:
        """What it finds in rendered files and in the stack.

        Raises:
            ToolError: it failed, or printed something else than JSON.
        """
        with tempfile.TemporaryDirectory(prefix="renecinfra-scan-") as directory:
            for path, file in bundle.items():
                target = Path(directory, "build", path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(file.text, encoding="utf-8")
            if stack.is_dir():
                shutil.copytree(stack, Path(directory, "stack"), ignore=shutil.ignore_patterns("tests"))
            # 1 says that something was found.
            done = run(self.argv(directory), timeout=_TIMEOUT, check=False)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            raise ToolError(
                "scanner-failed",
                f"{self.name} did not print the JSON that was asked for (exit code {done.returncode})",
                hint="run the audit without --scan, or mend its installation",
                details=tuple(done.stderr.splitlines()[-5:]),
            ) from None
        return list(self.read(answer))


def _checkov(answer: Any) -> Iterator[Finding]:
    for report in answer if isinstance(answer, list) else [answer]:
        for one in (report.get("results") or {}).get("failed_checks") or ():
            path = str(one.get("file_path", "")).lstrip("/")
            line = (one.get("file_line_range") or [1])[0]
            target, severity = str(one.get("resource", path)), str(one.get("severity") or "")
            location = Location(path, max(1, line), 1)
            message = f"{target}: {one['check_name']}"
            rule = f"checkov:{one['check_id']}"
            yield Finding(rule, _grade(severity), target, message, location, severity)


def _trivy(answer: Any) -> Iterator[Finding]:
    for result in answer.get("Results") or ():
        for one in result.get("Misconfigurations") or ():
            if one.get("Status", "FAIL") != "FAIL":
                continue
            cause: Mapping[str, Any] = one.get("CauseMetadata") or {}
            path, line = str(result.get("Target", "")), int(cause.get("StartLine") or 1)
            target, severity = str(cause.get("Resource") or path), str(one.get("Severity") or "")
            message = f"{target}: {one['Title']}"
            rule = f"trivy:{one['ID']}"
            yield Finding(rule, _grade(severity), target, message, Location(path, line, 1), severity)


def _grade(severity: str) -> Severity:
    return "deny" if severity in _DENIED else "warn"


SCANNERS: Final = (
    Scanner(
        "checkov",
        lambda directory: [
            "checkov",
            "-d",
            directory,
            "-o",
            "json",
            "--skip-download",
            "--quiet",
            "--compact",
        ],
        _checkov,
    ),
    Scanner(
        "trivy",
        lambda directory: [
            "trivy",
            "config",
            "--format",
            "json",
            "--quiet",
            "--skip-check-update",
            directory,
        ],
        _trivy,
    ),
)
