"""What one command did, for machines that watch it: steps with their results, the error, versions.

One process runs one command, so there is one record: whoever shows a step to people also records it here.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from renecinfra import __version__
from renecinfra.errors import ExitCode, ToolError, UsageError
from renecinfra.identity import current_runner
from renecinfra.redaction import redactor

FORMAT: Final = 1
StepResult = Literal["ok", "failed", "interrupted"]
_RESULTS: Final = {
    ExitCode.OK: "ok",
    ExitCode.CHANGES: "changes",
    ExitCode.INTERRUPTED: "interrupted",
}


class RunReport:
    """The record of this process's command, from when it was made."""

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._began = time.monotonic()
        self._steps: list[dict[str, Any]] = []
        self.error: Mapping[str, Any] | None = None

    def step(self, name: str, result: StepResult, seconds: float) -> None:
        """A step has ended."""
        self._steps.append({"name": redactor(name), "result": result, "seconds": round(seconds, 3)})

    def document(self, argv: Sequence[str], exit_code: int) -> dict[str, Any]:
        """The record; its schema is docs/reference/schemas/report.json."""
        runner = current_runner()
        return {
            "format": FORMAT,
            "command": next((word for word in argv if not word.startswith("-")), ""),
            "arguments": [redactor(word) for word in argv],
            "started": self._started.isoformat(timespec="milliseconds"),
            "seconds": round(time.monotonic() - self._began, 3),
            "exit_code": exit_code,
            "result": _RESULTS.get(ExitCode(exit_code), "failed"),
            "error": self.error,
            "steps": self._steps,
            "redactions": redactor.hidden,
            "user": runner.user,
            "host": runner.host,
            "versions": {"renecinfra": __version__, "python": platform.python_version()},
        }

    def write(self, target: Path, argv: Sequence[str], exit_code: int) -> None:
        """Write the record.

        Raises:
            ToolError: the file cannot be written.
        """
        text = redactor(json.dumps(self.document(argv, exit_code), indent=2, ensure_ascii=False))
        try:
            target.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ToolError(
                "report-unwritable",
                f"the report cannot be written: {target}: {error.strerror}",
                hint="what was done is done; name another file the next time",
            ) from error


def take_option(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """``--report FILE`` taken out of a command line, wherever it stands; nothing behind ``--`` is looked at.

    Raises:
        UsageError: no file is named, it is named twice, or its directory is not there.
    """
    rest: list[str] = []
    found: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--report":
            found.append(next(words, ""))
        elif word.startswith("--report="):
            found.append(word.removeprefix("--report="))
        else:
            rest.append(word)
    if not found:
        return None, rest
    if len(found) > 1 or not found[0]:
        raise UsageError("report-file", "--report takes one file", hint="write --report FILE")
    target = Path(found[0])
    if not target.absolute().parent.is_dir() or target.is_dir():
        raise UsageError(
            "report-file", f"{target} cannot be a file", hint="name a file in a directory that is there"
        )
    return target, rest


record = RunReport()
"""The one of this process."""


def result_of_failure() -> StepResult:
    """How a step ended that the current exception leaves."""
    from renecinfra.errors import InterruptedRunError

    return (
        "interrupted" if isinstance(sys.exc_info()[1], KeyboardInterrupt | InterruptedRunError) else "failed"
    )
