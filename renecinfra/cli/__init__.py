"""The command line: Typer commands, one module per group; ``main`` turns errors into exit codes.

Command modules import what they need inside the command, so that ``--help`` costs no more than Typer itself.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from renecinfra.errors import RenecError


def main() -> None:
    """Run the command line; the one place where an exception becomes an exit code."""
    try:
        code = _reported(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was running has been waited for\n")
        code = 130
    sys.exit(code)


def _reported(arguments: list[str]) -> int:
    """Run the command line, and write the report that was asked for; the command does not know of it."""
    if not any(word == "--report" or word.startswith("--report=") for word in arguments):
        return _run(arguments)
    from renecinfra.errors import ExitCode, RenecError
    from renecinfra.run_report import record, take_option

    try:
        target, rest = take_option(arguments)
    except RenecError as error:
        return _report(error, arguments)
    code: int = ExitCode.INTERRUPTED
    try:
        code = _run(rest)
    finally:
        if target is not None:
            try:
                record.write(target, rest, code)
            except RenecError as error:
                code = _report(error, rest)
    return code


def _run(arguments: list[str]) -> int:
    from renecinfra.cli.app import app, usage_error_type
    from renecinfra.errors import ExitCode, RenecError
    from renecinfra.interruption import interruptible

    try:
        with interruptible():
            code = app(args=arguments, prog_name="renecinfra", standalone_mode=False)
        if code == ExitCode.INTERRUPTED:
            raise KeyboardInterrupt  # Typer has made an exit code of it
        return code if isinstance(code, int) else ExitCode.OK
    except RenecError as error:
        return _report(error, arguments)
    except usage_error_type as error:
        return _misused(error, arguments)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); the interpreter must not try to flush to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE
    except Exception as error:
        return _report(_refused(error) or _bug(error), arguments)


def _misused(error: Any, arguments: list[str]) -> int:
    """A wrong command line; none at all is answered by what there is."""
    from renecinfra.errors import ExitCode, UsageError

    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{error.format_message()}\n")
        return ExitCode.USAGE
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "renecinfra"
    usage = UsageError("usage", str(error.format_message()).rstrip("."), hint=f"run `{command} --help`")
    return _report(usage, arguments)


def _report(error: RenecError, arguments: list[str]) -> int:
    from renecinfra.console import Console, error_document
    from renecinfra.run_report import record

    record.error = error_document(error)
    Console(json_output="--json" in arguments).error(error)
    if "--debug" in arguments:
        _print_traceback(error)
    return int(error.exit_code)


def _refused(error: Exception) -> RenecError | None:
    """What the machine refuses is no bug: a full disk, another user's files, a disk that only reads."""
    import errno

    from renecinfra.errors import ToolError

    hints = {
        errno.ENOSPC: "make room on the disk",
        errno.EDQUOT: "make room within the quota",
        errno.EROFS: "work in a workspace that can be written to",
        errno.EACCES: "run it as the user who made the environment, or mend the owner and mode",
        errno.EPERM: "run it as the user who made the environment, or mend the owner and mode",
    }
    if not isinstance(error, OSError) or error.errno not in hints:
        return None
    if error.filename is None and error.errno in (errno.EACCES, errno.EPERM):
        return None  # not about a file
    where = f"{error.filename}: " if error.filename is not None else ""
    refused = ToolError(
        "machine-refused",
        f"{where}{error.strerror}",
        hint=f"{hints[error.errno]}, then run the command again; it goes on from here",
    )
    refused.__cause__ = error
    return refused


def _bug(error: Exception) -> RenecError:
    from renecinfra.errors import BugError

    bug = BugError(
        "bug",
        f"renecinfra failed in a way it should not: {type(error).__name__}: {error}",
        hint="run the command again with --debug and report what it prints; the environment can be resumed",
    )
    bug.__cause__ = error
    return bug


def _print_traceback(error: BaseException) -> None:
    """File, line and function of each frame; never locals, which hold secrets."""
    import traceback

    from renecinfra.redaction import redactor

    text = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
    sys.stderr.write(redactor(text))
