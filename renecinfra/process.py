"""Running other programs: argv, environment, streamed lines, one SIGINT, redaction.

The only importer of subprocess outside ``agents``. Every program runs in a session of its own, so that a
Ctrl-C at the terminal reaches renecinfra alone, which passes it on as it should be.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import InterruptedRunError, ToolError
from renecinfra.interruption import Interruption, interruptible
from renecinfra.pipes import Input, Lines, pump
from renecinfra.redaction import redactor

__all__ = ["Completed", "interruptible", "run", "stream"]

_GUARD: Final = str(Path(__file__).with_name("guard.py"))
_TAIL_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ran to its end. ``stdout`` and ``stderr`` stay out of the repr."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    input: str | None = None,  # noqa: A002 - subprocess' own word
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
    redact: bool = True,
    identity: tuple[int, int] | None = None,
) -> Completed:
    """Run a program to its end and return what it printed.

    Args:
        argv: the program (a name to be found on PATH, or a path) and its arguments; no secret is among them.
        env: the exact environment, or None for ours.
        cwd: where it runs; here, when None.
        timeout: seconds until it is killed, together with what it started.
        input: what it reads from its standard input, which is empty otherwise.
        check: whether an exit code other than 0 is an error.
        on_line: gets each line of its output and errors as it comes, redacted.
        redact: False leaves ``stdout`` and ``stderr`` as they were printed, for output that is parsed and not
            shown. Lines and error details are redacted all the same.
        identity: the user and group that it runs as, when root starts it for somebody else.

    Raises:
        ToolError: ``tool-missing``, ``tool-failed`` (with the last lines) or ``tool-timeout``.
        InterruptedRunError: Ctrl-C or SIGTERM came; the program was told to end, and has ended.
    """
    command = _resolve(argv, env, cwd)
    try:
        # S603: no shell, and the callers' argv are built from typed values.
        process = subprocess.Popen(  # noqa: S603
            command,
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **_as(identity),
        )
    except OSError as error:
        raise ToolError(
            "tool-missing",
            f"{command[0]} cannot be executed: {error.strerror}",
            hint="install it anew, or run `renecinfra doctor`, which says how",
        ) from error
    assert process.stdout is not None  # piped above, as stderr
    assert process.stderr is not None
    output = Lines(process.stdout.fileno(), on_line)
    errors = Lines(process.stderr.fileno(), on_line)
    deadline = _Deadline(timeout)
    try:
        data = None if process.stdin is None else Input(process.stdin, (input or "").encode())
        ended = partial(_has_ended, process)
        pump((output, errors), ended=ended, tick=deadline.check, data=data)
        process.wait(deadline.left())
    except KeyboardInterrupt:
        _end(process)
        raise InterruptedRunError("interrupted", f"{_name(command)} was interrupted") from None
    except (_DeadlineError, subprocess.TimeoutExpired):
        _end(process, signal.SIGKILL)
        raise ToolError(
            "tool-timeout",
            f"{_name(command)} did not end within {timeout:g} s and was killed",
            hint=_repeat(command, cwd),
            details=_tail(errors.text() or output.text()),
        ) from None
    except BaseException:
        _end(process, signal.SIGKILL)
        raise
    finally:
        _close(process)
    if check and process.returncode != 0:
        raise ToolError(
            "tool-failed",
            f"{_name(command)} {_ending(process.returncode)}",
            hint=_repeat(command, cwd),
            details=_tail(errors.text() or output.text()),
        )
    shown = redactor if redact else str
    return Completed(tuple(command), process.returncode, shown(output.text()), shown(errors.text()))


def stream(
    argv: Sequence[str | os.PathLike[str]],
    *,
    on_line: Callable[[str], None],
    name: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    interrupt_grace: float | None = None,
    on_interrupt: Callable[[], None] | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Run a long program, handing on each line of its output and errors as it comes; returns its exit code.

    Ctrl-C, SIGTERM and SIGHUP reach it as exactly one SIGINT, however often they come; so does our own death
    by any means. Then its lines are read to its end. Call it from the main thread: in another one it works,
    but signals are the main thread's business.

    Args:
        argv: as for :func:`run`.
        on_line: gets each line, redacted, without its end.
        name: what it is called in errors, where that is not the program's name.
        env: the exact environment, or None for ours.
        cwd: where it runs; here, when None.
        interrupt_grace: seconds that it may take to end after the SIGINT before it is killed with all that it
            started; None waits for as long as it takes.
        on_interrupt: called once, when it has been asked to stop.
        pass_fds: descriptors that it and its children keep open (the environment's lock).

    Raises:
        ToolError: ``tool-missing``.
        InterruptedRunError: it was interrupted, and has ended.
    """
    command = _resolve(argv, env, cwd)
    reading, writing = os.pipe()
    life, alive = os.pipe()
    interruption = Interruption(alive)
    try:
        with interruption.watched():
            process = subprocess.Popen(  # noqa: S603 - as above
                [sys.executable, "-I", "-S", _GUARD, str(life), str(reading), *command],
                env=None if env is None else dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
                pass_fds=(life, reading, *pass_fds),
            )
            os.close(writing)
            writing = -1
            try:
                ticker = _Ticker(process, interruption, interrupt_grace, on_interrupt)
                _follow(process, Lines(reading, on_line, keep=False), ticker)
            except BaseException:
                # Our own failure (a callback's): the program still gets its one SIGINT and is waited for.
                interruption.ask()
                ticker = _Ticker(process, interruption, interrupt_grace, None)
                _follow(process, Lines(reading, None, keep=False), ticker)
                raise
    finally:
        for descriptor in (reading, writing, life, alive):
            if descriptor >= 0:
                os.close(descriptor)
    if interruption.asked:
        raise InterruptedRunError(
            "interrupted",
            f"{name or _name(command)} was interrupted and has ended",
            hint="run the same command again; it goes on from here",
        )
    return process.returncode


def _as(identity: tuple[int, int] | None) -> dict[str, Any]:
    if identity is None or os.geteuid() != 0:
        return {}
    return {"user": identity[0], "group": identity[1], "extra_groups": [], "umask": 0o077}


class _DeadlineError(Exception):
    """The deadline has passed."""


class _Deadline:
    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        if self.left() == 0:
            raise _DeadlineError


class _Ticker:
    """Looks at the interruption now and then: says that it was passed on, and ends what does not end."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        interruption: Interruption,
        grace: float | None,
        on_interrupt: Callable[[], None] | None,
    ) -> None:
        self._process = process
        self._interruption = interruption
        self._grace = grace
        self._on_interrupt = on_interrupt
        self._deadline: _Deadline | None = None

    def __call__(self) -> None:
        if not self._interruption.asked:
            return
        if self._deadline is None:
            self._deadline = _Deadline(self._grace)
            if self._on_interrupt is not None:
                self._on_interrupt()
        if self._deadline.left() == 0:
            _end(self._process, signal.SIGKILL)


def _follow(process: subprocess.Popen[bytes], lines: Lines, ticker: _Ticker) -> None:
    pump((lines,), ended=partial(_has_ended, process), tick=ticker)
    while process.poll() is None:  # it closed its output and goes on
        ticker()
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def _end(process: subprocess.Popen[bytes], first: signal.Signals = signal.SIGTERM) -> None:
    """End the process and everything in its group, the hard way after five seconds."""
    for number in (first, signal.SIGKILL):
        with suppress(ProcessLookupError):
            # The group's number is the process', which is not reaped as long as poll() was not asked.
            if process.returncode is None:
                os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _resolve(
    argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str] | None, cwd: Path | None
) -> list[str]:
    program, *arguments = [os.fspath(argument) for argument in argv]
    path = (os.environ if env is None else env).get("PATH", os.defpath)
    # A relative path is relative to where the program runs, as for a shell.
    named = str(cwd / program) if cwd is not None and "/" in program else program
    found = shutil.which(named, path=path)
    if found is None:
        raise ToolError(
            "tool-missing",
            f"{program} is not an executable file" if "/" in program else f"{program} is not on PATH",
            hint="install it, or run `renecinfra doctor`, which says how",
        )
    if cwd is not None and not cwd.is_dir():
        raise ToolError(
            "tool-missing",
            f"{cwd} is not a directory, so {program} cannot run there",
            hint="make it, or mend the path",
        )
    return [str(Path(found).absolute()), *arguments]


def _name(command: Sequence[str]) -> str:
    return Path(command[0]).name


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"failed with exit code {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by signal {-returncode}"


def _repeat(command: Sequence[str], cwd: Path | None) -> str:
    where = f"cd {shlex.quote(str(cwd))} && " if cwd is not None else ""
    return f"to repeat it: {redactor(where + shlex.join(command))}"


def _tail(text: str) -> tuple[str, ...]:
    return tuple(redactor(text).rstrip().splitlines()[-_TAIL_LINES:])
