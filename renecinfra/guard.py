"""Stands between renecinfra and one long-running child, so that the child gets exactly one SIGINT.

Run by path as ``python -I -S guard.py LIFE OUTPUT PROGRAM ARGUMENT…``; the standard library alone. ``LIFE``
is the read end of a pipe that only renecinfra can write to, ``OUTPUT`` the read end of the child's output.

Whatever comes first asks the child to stop: a byte on ``LIFE``, which is renecinfra's word; its end, which
is renecinfra's death by any means; SIGINT, SIGTERM or SIGHUP to the guard. Everything after that is
swallowed, because Terraform abandons its state on the second SIGINT. When renecinfra is dead, the guard
reads the output in its place: a broken pipe would kill the child in the middle of stopping, and a full one
would block it for ever. When a child that was asked to stop has ended, what it left in its process group gets
SIGTERM: Terraform ends its provisioners' shells, not what those have started.
"""

from __future__ import annotations

# The C module behind `signal`, whose wrapping into enumerations takes half of the guard's 20 ms to start.
import _signal as signal  # type: ignore[import-not-found]
import os
import select
import sys

_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Python ignores SIGPIPE and SIGXFSZ, and an ignored signal stays ignored in a child.
_DEFAULT_IN_CHILD = (*_STOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


def main(arguments: list[str]) -> int:
    """Run the child to its end; returns its exit code, or minus the signal that ended it."""
    life, output, argv = int(arguments[0]), int(arguments[1]), arguments[2:]
    os.set_inheritable(life, False)
    os.set_inheritable(output, False)
    woken = _wake_on_signals()
    try:
        child = os.posix_spawn(argv[0], argv, os.environ, setsigdef=_DEFAULT_IN_CHILD)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        return 126  # as a shell says that it cannot execute something
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(life, select.POLLIN)
    asked = False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if asked:
                os.killpg(0, signal.SIGTERM)  # to ourselves too, where it only wakes
            return os.waitstatus_to_exitcode(status)
        ready = {descriptor for descriptor, _ in poll.poll()}
        stop = woken in ready and any(number in _STOP for number in os.read(woken, 512))
        if life in ready:
            stop = True
            if not os.read(life, 16):
                poll.unregister(life)
                poll.register(output, select.POLLIN)
        if output in ready and not os.read(output, 65536):
            poll.unregister(output)
        if stop and not asked:
            asked = True
            os.kill(child, signal.SIGINT)  # not reaped yet, so the number is still the child's


def _wake_on_signals() -> int:
    """Numbers of the signals that arrive, one byte each, readable from the descriptor returned."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (*_STOP, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    return reading


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if code < 0:
        # Ended by a signal: end the same way, so that whoever waits sees the same status.
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)  # nothing is left to flush or to clean up, and renecinfra waits
