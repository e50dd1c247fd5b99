from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from renecinfra import process
from renecinfra.errors import InterruptedRunError, ToolError
from renecinfra.redaction import Redactor
from renecinfra.sensitive import Secret

# Appends the name of every SIGINT that it gets to the file, and ends half a second after the first.
TRAP = """
import os, signal, sys, time
log = open(sys.argv[1], "a", buffering=1)
asked = []
signal.signal(signal.SIGINT, lambda *_: (asked.append(time.monotonic()), log.write("INT\\n")))
print("ready", os.getpid(), flush=True)
while not asked or time.monotonic() - asked[0] < 0.5:
    time.sleep(0.02)
print("x" * int(sys.argv[2]), flush=True)
log.write("ended\\n")
"""


def soon(action: Callable[[], object], seconds: float = 0.2) -> None:
    threading.Timer(seconds, action).start()


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class TestRun:
    def test_returns_output_errors_and_code(self) -> None:
        done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)

        assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
        assert done.argv[0].endswith("/sh")

    def test_its_repr_leaves_output_out(self) -> None:
        assert "visible" not in repr(process.run(["echo", "visible"])).replace("'visible'", "")

    def test_a_large_input_comes_back_whole(self) -> None:
        text = "ñ" * 300_000

        assert process.run(["cat"], input=text).stdout == text

    def test_a_program_that_does_not_read_its_input_is_no_failure(self) -> None:
        assert process.run(["true"], input="x" * 300_000).returncode == 0

    def test_standard_input_is_empty_by_default(self) -> None:
        assert process.run(["cat"], timeout=5).stdout == ""

    def test_the_environment_is_exact(self) -> None:
        done = process.run(["env"], env={"PATH": os.environ["PATH"], "ONLY": "this"})

        assert sorted(done.stdout.split()) == sorted([f"PATH={os.environ['PATH']}", "ONLY=this"])

    def test_lines_come_as_they_are_printed(self) -> None:
        lines: list[str] = []
        process.run(["sh", "-c", "printf 'one\\r\\ntwo\\nthree'"], on_line=lines.append)

        assert lines == ["one", "two", "three"]

    def test_a_relative_program_is_found_from_its_directory(self, tmp_path: Path) -> None:
        script = tmp_path / "tool"
        script.write_text("#!/bin/sh\npwd\n")
        script.chmod(0o755)

        assert process.run(["./tool"], cwd=tmp_path).stdout.strip() == str(tmp_path)

    @pytest.mark.parametrize("name", ["no-such-program-here", "/no/such/program"])
    def test_a_missing_program(self, name: str) -> None:
        with pytest.raises(ToolError) as caught:
            process.run([name])

        assert caught.value.id == "tool-missing"
        assert name in caught.value.message

    def test_a_program_that_is_none(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        broken.write_bytes(b"\x7fELF nonsense")
        broken.chmod(0o755)
        lines: list[str] = []
        with pytest.raises(ToolError, match="cannot be executed: Exec format error"):
            process.run([broken])

        assert process.stream([broken], on_line=lines.append) == 126
        assert lines == [f"{broken}: Exec format error"]

    def test_a_missing_directory_is_not_a_missing_program(self, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match="is not a directory"):
            process.run(["true"], cwd=tmp_path / "gone")

    def test_a_failure_carries_the_last_lines(self) -> None:
        with pytest.raises(ToolError) as caught:
            process.run(["sh", "-c", "seq 100 >&2; exit 4"])

        assert caught.value.id == "tool-failed"
        assert caught.value.message == "sh failed with exit code 4"
        assert caught.value.details == tuple(str(number) for number in range(81, 101))

    def test_an_end_by_a_signal_is_named(self) -> None:
        with pytest.raises(ToolError, match="was ended by SIGTERM"):
            process.run(["sh", "-c", "kill -TERM $$"])

    def test_a_timeout_kills_what_it_started_too(self, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"
        with pytest.raises(ToolError) as caught:
            process.run(["sh", "-c", f"sleep 60 & echo $! >{pid_file}; wait"], timeout=0.5)

        assert caught.value.id == "tool-timeout"
        wait_for(lambda: not is_running(int(pid_file.read_text())))

    def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(self) -> None:
        began = time.monotonic()
        done = process.run(["sh", "-c", "sleep 5 & echo $!"])

        assert time.monotonic() - began < 3
        os.kill(int(done.stdout), signal.SIGTERM)

    def test_an_interrupt_ends_it(self) -> None:
        soon(send(signal.SIGINT))
        began = time.monotonic()
        with pytest.raises(InterruptedRunError):
            process.run(["sleep", "60"])

        assert time.monotonic() - began < 5

    def test_secrets_are_hidden_unless_the_output_is_parsed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        redactor = Redactor()
        redactor.register(Secret("correct-horse"))
        monkeypatch.setattr("renecinfra.process.redactor", redactor)
        monkeypatch.setattr("renecinfra.pipes.redactor", redactor)
        lines: list[str] = []

        shown = process.run(["sh", "-c", "echo correct-horse"], on_line=lines.append)
        parsed = process.run(["sh", "-c", "echo correct-horse"], redact=False)
        with pytest.raises(ToolError) as caught:
            process.run(["sh", "-c", "echo correct-horse >&2; exit 1"])

        assert shown.stdout == "[REDACTED]\n"
        assert lines == ["[REDACTED]"]
        assert parsed.stdout == "correct-horse\n"
        assert caught.value.details == ("[REDACTED]",)
        assert "correct-horse" not in str(caught.value.hint)


class TestStream:
    def test_lines_and_code(self) -> None:
        lines: list[str] = []
        code = process.stream(["sh", "-c", "echo out; echo err >&2; exit 5"], on_line=lines.append)

        assert (sorted(lines), code) == (["err", "out"], 5)

    def test_an_end_by_a_signal_is_its_negative_number(self) -> None:
        assert process.stream(["sh", "-c", "kill -KILL $$"], on_line=print) == -signal.SIGKILL

    def test_a_missing_program(self) -> None:
        with pytest.raises(ToolError, match="is not on PATH"):
            process.stream(["no-such-program-here"], on_line=print)

    def test_signals_are_not_inherited_as_ignored(self) -> None:
        lines: list[str] = []
        process.stream(["grep", "SigIgn", "/proc/self/status"], on_line=lines.append)

        # Bits 31 and 32 are the C library's own.
        assert int(lines[0].split()[1], 16) & 0x7FFFFFFF == 0

    def test_descriptors_are_passed_on_and_no_others(self, tmp_path: Path) -> None:
        with (tmp_path / "lock").open("w") as file:
            lines: list[str] = []
            process.stream(["ls", "/proc/self/fd"], on_line=lines.append, pass_fds=[file.fileno()])

            # 0, 1, 2, the one passed on, and the one that ls reads the directory with.
            assert str(file.fileno()) in lines
            assert len(lines) == 5

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_any_number_of_interrupts_is_one_sigint(self, tmp_path: Path, number: int) -> None:
        log = tmp_path / "log"
        lines: list[str] = []
        told: list[str] = []
        before = signal.getsignal(number)

        def on_line(line: str) -> None:
            lines.append(line)
            if line.startswith("ready"):
                for seconds in (0.0, 0.1, 0.2):
                    soon(send(number), seconds)

        with pytest.raises(InterruptedRunError):
            process.stream(
                [sys.executable, "-c", TRAP, log, "3"],
                on_line=on_line,
                on_interrupt=lambda: told.append("asked"),
            )

        assert log.read_text() == "INT\nended\n"
        assert lines[-1] == "xxx"
        assert told == ["asked"]
        assert signal.getsignal(number) is before

    def test_what_does_not_end_within_its_grace_is_killed(self) -> None:
        began = time.monotonic()
        soon(send(signal.SIGINT), 0.3)
        with pytest.raises(InterruptedRunError):
            process.stream(["sh", "-c", "trap '' INT; sleep 60"], on_line=print, interrupt_grace=0.3)

        assert time.monotonic() - began < 5

    def test_what_an_interrupted_program_leaves_behind_is_ended(self) -> None:
        lines: list[str] = []
        soon(send(signal.SIGINT), 0.4)
        with pytest.raises(InterruptedRunError):
            process.stream(
                ["sh", "-c", "trap 'exit 1' INT; sleep 60 & echo $!; while :; do sleep 0.05; done"],
                on_line=lines.append,
            )

        wait_for(lambda: not is_running(int(lines[0])))

    def test_what_a_finished_program_leaves_behind_stays(self) -> None:
        lines: list[str] = []
        process.stream(["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"], on_line=lines.append)

        assert is_running(int(lines[0]))
        os.kill(int(lines[0]), signal.SIGKILL)

    def test_a_callback_that_fails_still_ends_the_program_in_order(self, tmp_path: Path) -> None:
        log = tmp_path / "log"

        def on_line(_line: str) -> None:
            raise BrokenPipeError("the terminal is gone")

        with pytest.raises(BrokenPipeError):
            process.stream([sys.executable, "-c", TRAP, log, "3"], on_line=on_line)

        assert log.read_text() == "INT\nended\n"

    @pytest.mark.parametrize("interrupted_before", [False, True])
    def test_our_death_is_one_sigint_and_no_broken_or_full_pipe(
        self, tmp_path: Path, interrupted_before: bool
    ) -> None:
        log, ready = tmp_path / "log", tmp_path / "ready"
        # A megabyte does not fit into a pipe: somebody must read it after our death.
        code = f"""
from pathlib import Path
from renecinfra.process import stream
stream([{sys.executable!r}, "-c", {TRAP!r}, {str(log)!r}, "1000000"],
       on_line=lambda line: Path({str(ready)!r}).write_text(line))
"""
        parent = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
        wait_for(lambda: ready.exists() and ready.read_text().startswith("ready"))
        if interrupted_before:
            os.kill(parent, signal.SIGINT)
            wait_for(lambda: log.exists() and "INT" in log.read_text())
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)

        wait_for(lambda: log.exists() and "ended" in log.read_text())
        assert log.read_text() == "INT\nended\n"
        wait_for(lambda: not is_running(int(ready.read_text().split()[1])))


def test_interruptible_turns_sigterm_into_keyboard_interrupt() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), process.interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)

    assert signal.getsignal(signal.SIGTERM) is before


def test_interruptible_leaves_an_ignored_signal_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with process.interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
