"""What was done to an environment, by whom and when: one JSON object a line, only ever appended.

A run writes a line when it starts, two for each step, and one when it finishes. A run without the last one
was interrupted: killed, or the machine went down. Every line is on disk before the work goes on.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from renecinfra import __version__
from renecinfra.errors import ExitCode, InterruptedRunError, RenecError, ToolError
from renecinfra.identity import Runner, current_runner
from renecinfra.redaction import redactor

_MAX_BYTES: Final = 1_000_000
StepState = Literal["started", "finished", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step of a run; ``seconds`` is None while it has not ended, ``error`` the id of its error."""

    name: str
    state: StepState
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the journal tells it; ``exit_code`` is None where it never finished, or still runs."""

    id: str
    command: str
    argv: tuple[str, ...]
    profile: str
    started: datetime
    runner: Runner
    steps: tuple[StepRecord, ...]
    exit_code: int | None
    seconds: float | None


class Run:
    """A run that is being recorded."""

    def __init__(self, journal: Journal, run_id: str) -> None:
        self.id = run_id
        self._journal = journal
        self._began = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Record a step: that it started, and then that it finished, failed or was interrupted."""
        self._write(event="step", name=name, state="started")
        began = time.monotonic()
        try:
            yield
        except BaseException as error:
            state = "interrupted" if isinstance(error, KeyboardInterrupt | InterruptedRunError) else "failed"
            cause = error.id if isinstance(error, RenecError) else type(error).__name__
            self._write(event="step", name=name, state=state, seconds=_since(began), error=cause)
            raise
        self._write(event="step", name=name, state="finished", seconds=_since(began))

    def finish(self, exit_code: int) -> None:
        """Record the end of the run."""
        self._write(event="finished", exit_code=exit_code, seconds=_since(self._began))

    def _write(self, **fields: object) -> None:
        self._journal.append({"run": self.id, "at": _now(), **fields})


class Journal:
    """The journal of one environment. Only the holder of the environment's lock writes to it."""

    def __init__(self, path: Path, *, max_bytes: int = _MAX_BYTES) -> None:
        """Nothing is read or written yet.

        Args:
            path: the file; made 0600 when the first run starts.
            max_bytes: above this size the oldest runs are dropped when a run starts, down to half of it.
        """
        self._path = path
        self._max_bytes = max_bytes

    def start(self, command: str, argv: Sequence[str], profile: str) -> Run:
        """Begin a run of ``command``; ``profile`` is the digest of the profile that it works from.

        Raises:
            ToolError: the journal cannot be written.
        """
        self._prune()
        run = Run(self, f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}")
        self.append(
            {
                "run": run.id,
                "at": _now(),
                "event": "started",
                "command": command,
                "argv": [redactor(word) for word in argv],
                "profile": profile,
                "version": __version__,
                **current_runner().as_json(),
            }
        )
        return run

    @contextmanager
    def running(self, command: str, argv: Sequence[str], profile: str) -> Iterator[Run]:
        """A run from :meth:`start` to the end of the block, finished with the exit code that it ends with."""
        run = self.start(command, argv, profile)
        try:
            yield run
        except RenecError as error:
            run.finish(error.exit_code)
            raise
        except KeyboardInterrupt:
            run.finish(ExitCode.INTERRUPTED)
            raise
        except BaseException:
            run.finish(ExitCode.BUG)
            raise
        run.finish(ExitCode.OK)

    def runs(self) -> list[RunRecord]:
        """Every run that the journal still knows, oldest first."""
        return records(self._entries())

    def text(self, run: str) -> str:
        """The lines of one run, to be kept elsewhere; read again by :func:`parse`."""
        mine = (entry for entry in self._entries() if entry["run"] == run)
        return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in mine)

    def last_run(self) -> RunRecord | None:
        """The newest run."""
        runs = self.runs()
        return runs[-1] if runs else None

    def interrupted(self) -> RunRecord | None:
        """The newest run, if it was cut off without an end of its own and does not run any more."""
        last = self.last_run()
        return last if last is not None and last.exit_code is None and not last.runner.alive else None

    def append(self, entry: dict[str, object]) -> None:
        """Add one line, and wait until it is on disk."""
        data = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(fd).st_size
                if size > 0 and os.pread(fd, 1, size - 1) != b"\n":
                    data = b"\n" + data  # the line before was torn: keep it apart from this one
                if os.write(fd, data) != len(data):
                    raise OSError("only a part could be written")
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ToolError:
        return ToolError(
            "journal-unwritable",
            f"the journal cannot be written: {self._path}: {error.strerror or error}",
            hint="make room on the disk, or make the state directory writable",
        )

    def _entries(self) -> Iterator[dict[str, Any]]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        yield from parse(text)

    def _prune(self) -> None:
        """Keep the newest whole runs in half of the size, once it is exceeded; the last run in any case."""
        if not self._path.exists() or self._path.stat().st_size <= self._max_bytes:
            return
        lines: dict[str, bytes] = {}
        for entry in self._entries():
            line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
            lines[entry["run"]] = lines.get(entry["run"], b"") + line
        newest_first = list(lines.values())[::-1]
        kept = newest_first[:1]
        for run in newest_first[1:]:
            if sum(map(len, kept)) + len(run) > self._max_bytes // 2:
                break
            kept.append(run)
        self._replace(b"".join(kept[::-1]))

    def _replace(self, data: bytes) -> None:
        temporary = self._path.with_name(f".{self._path.name}.new")
        try:
            temporary.unlink(missing_ok=True)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise self._unwritable(error) from error


def parse(text: str) -> Iterator[dict[str, Any]]:
    """Every whole line; a torn one, which a killed run or a full disk left, is passed over."""
    for line in text.split("\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("run"), str):
            yield entry


def records(entries: Iterable[dict[str, Any]]) -> list[RunRecord]:
    """The runs of lines, in the order of their first ones."""
    by_run: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_run.setdefault(entry["run"], []).append(entry)
    return [record for lines in by_run.values() if (record := _record(lines)) is not None]


def _record(entries: Sequence[dict[str, Any]]) -> RunRecord | None:
    """One run from its lines; None where its first line is not there or not ours."""
    first = entries[0]
    if first.get("event") != "started":
        return None
    steps: dict[str, StepRecord] = {}
    exit_code, seconds = None, None
    try:
        for entry in entries[1:]:
            if entry["event"] == "step":
                name = str(entry["name"])
                steps[name] = StepRecord(name, entry["state"], entry.get("seconds"), entry.get("error"))
            elif entry["event"] == "finished":
                exit_code, seconds = int(entry["exit_code"]), float(entry["seconds"])
        return RunRecord(
            id=first["run"],
            command=str(first["command"]),
            argv=tuple(first["argv"]),
            profile=str(first["profile"]),
            started=datetime.fromisoformat(first["at"]),
            runner=Runner.from_json(first),
            steps=tuple(steps.values()),
            exit_code=exit_code,
            seconds=seconds,
        )
    except (LookupError, ValueError, TypeError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
