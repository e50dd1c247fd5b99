"""What people see. Results go to stdout, everything else to stderr; the only importer of rich.

Implements :class:`renecinfra.reporting.Reporter`. Everything printed passes through the redactor first.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from renecinfra.errors import DeclinedError, RenecError
from renecinfra.redaction import redactor
from renecinfra.reporting import Progress
from renecinfra.run_report import StepResult, record, result_of_failure

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.status import Status

MARKS: Final = {"ok": "[green]✓[/]", "failed": "[red]✗[/]", "warn": "[yellow]![/]", "off": "[dim]–[/]"}


class Console:
    """People's side of a command.

    ``json_output`` keeps stdout for one JSON document; notes still go to stderr. ``quiet`` drops progress.
    """

    def __init__(self, *, json_output: bool = False, quiet: bool = False) -> None:
        self.json_output = json_output
        self.quiet = quiet
        self._status: Status | None = None

    @cached_property
    def _out(self) -> RichConsole:
        return _rich(stderr=False)

    @cached_property
    def _err(self) -> RichConsole:
        return _rich(stderr=True)

    # --- results, on stdout

    def result(self, text: str = "", *, markup: bool = False) -> None:
        """One line or block of a result."""
        self._out.print(redactor(text), markup=markup, highlight=False, soft_wrap=True)

    def json(self, value: Any) -> None:
        """The result as one JSON document."""
        print(redactor(json.dumps(value, indent=2, ensure_ascii=False, default=str)))  # noqa: T201

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None
    ) -> None:
        """A result as a table; cells may hold markup, so values from outside go through :func:`plain`."""
        from rich.table import Table

        table = Table(
            *columns, title=title, box=None, title_justify="left", header_style="bold", pad_edge=False
        )
        for row in rows:
            table.add_row(*(redactor(cell) for cell in row))
        self._out.print(table)

    def page(self, text: str) -> None:
        """A block as it is: a diff, YAML, a log line. No wrapping, no markup."""
        sys.stdout.write(redactor(text) + ("" if text.endswith("\n") else "\n"))
        sys.stdout.flush()

    def diff(self, text: str) -> None:
        """A unified diff, coloured on a terminal."""
        if not self._out.is_terminal:
            self.page(text)
            return
        colours = {"+": "green", "-": "red", "@": "cyan"}
        for line in redactor(text).splitlines():
            self._out.print(line, style=colours.get(line[:1]), markup=False, highlight=False, soft_wrap=True)

    def clear(self) -> None:
        """An empty screen for the next round of a ``--watch``; nothing where stdout is not a terminal."""
        if self._out.is_terminal:
            self._out.clear()

    # --- progress and diagnostics, on stderr

    def note(self, text: str) -> None:
        """One line of progress or advice."""
        if not self.quiet:
            self._err.print(redactor(text), markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Something that is not an error but should be read; shown even when quiet."""
        self._err.print(f"{MARKS['warn']} ", end="")
        self._err.print(redactor(text), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A part of the work: a spinner while it runs, one line with its time when it ends."""
        with self._part(name, None):
            yield

    @contextmanager
    def progress(self, name: str, total: int | None = None) -> Iterator[Progress]:
        """A part of the work that counts: ``name (3/21) what is done now``."""
        with self._part(name, total) as part:
            yield part

    @contextmanager
    def _part(self, name: str, total: int | None) -> Iterator[_Part]:
        started = time.monotonic()
        part = _Part(name, total, self._status)
        try:
            if self.quiet or not self._err.is_terminal or self._status is not None:
                yield part
            else:
                with self._err.status(plain(name)) as status:
                    self._status = part.status = status
                    try:
                        yield part
                    finally:
                        self._status = None
        except BaseException:
            self._done(result_of_failure(), name, started)
            raise
        self._done("ok", name, started)

    def _done(self, result: StepResult, name: str, started: float) -> None:
        seconds = time.monotonic() - started
        record.step(name, result, seconds)
        mark = "ok" if result == "ok" else "failed"
        if not self.quiet:
            self._err.print(f"{MARKS[mark]} {plain(redactor(name))} [dim]{seconds:.1f} s[/]", highlight=False)

    def error(self, error: RenecError) -> None:
        """An error in the form of docs/reference/errors.md; as JSON on stdout too with ``json_output``."""
        where = f"\n  {error.location}" if error.location else ""
        details = "".join(f"\n  {line}" for line in error.details)
        hint = f"\nhint: {error.hint}" if error.hint else ""
        self._err.print(f"[bold red]error\\[{error.id}][/]: ", end="")
        text = redactor(f"{error.message}{where}{details}{hint}")
        self._err.print(text, markup=False, highlight=False, soft_wrap=True)
        if self.json_output:
            self.json({"error": error_document(error)})

    # --- questions

    def confirm(self, question: str, *, expect: str | None = None) -> None:
        """Ask; ``expect`` is a word that must be typed where a plain yes is too little.

        Raises:
            DeclinedError: the answer is no; or nobody can be asked, because stdin is not a terminal, or with
                ``json_output``, which shows nobody what the question is about.
        """
        if self.json_output:
            raise DeclinedError(
                "confirmation-needed",
                "this needs a confirmation, and with --json nothing is shown that could be confirmed",
                hint="look at it without --json first, or run the command again with --yes",
            )
        self._err.print(redactor(question), markup=False, highlight=False)
        if not sys.stdin.isatty():
            raise DeclinedError(
                "confirmation-needed",
                "this needs a confirmation, and there is no terminal to ask on",
                hint="if this is what you want, run the command again with --yes",
            )
        wanted = f"type {expect} to go on: " if expect else "go on? [y/N] "
        try:
            self._err.print(wanted, end="", markup=False)
            answer = input().strip()
        except EOFError:
            answer = ""
        if answer != expect and (expect is not None or answer.lower() not in ("y", "yes")):
            raise DeclinedError("declined", "nothing was changed: the answer was no")


@dataclass
class _Part:
    """The running part of the work, as its spinner shows it."""

    name: str
    total: int | None
    status: Status | None
    done: int = 0

    def advance(self, amount: int = 1, text: str | None = None) -> None:
        """Count, and show what is being worked on; on a terminal only."""
        self.done += amount
        if self.status is not None:
            count = f" ({self.done}/{self.total})" if self.total else ""
            self.status.update(plain(redactor(f"{self.name}{count} {text or ''}")))


def error_document(error: RenecError) -> dict[str, Any]:
    """An error for machines."""
    return {
        "id": error.id,
        "message": error.message,
        "location": str(error.location) if error.location else None,
        "details": list(error.details),
        "hint": error.hint,
        "exit_code": int(error.exit_code),
    }


def plain(text: object) -> str:
    """A value from outside, made safe for a table cell."""
    from rich.markup import escape

    return escape(str(text))


def _rich(*, stderr: bool) -> RichConsole:
    from rich.console import Console as RichConsole

    # Without a terminal rich assumes 80 columns and folds tables; a log or a pipe has no such width.
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else 200
    return RichConsole(stderr=stderr, width=width)
