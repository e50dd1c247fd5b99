"""supervisord that notices at once when a process dies.

supervisord's loop waits up to a second for something to read, and a dead child is nothing to read: it is
reaped in one round and started again in the next, up to two seconds later. Here a signal wakes the loop, and
the round after it does not wait.

Run with ``python -I daemon.py -n -c FILE``. The one agent that needs a package: it is supervisord.
"""

from __future__ import annotations

import contextlib
import os
import signal

from supervisor import poller, supervisord

_DRAIN_BYTES = 4096


class WakingPoller(poller.Poller):  # type: ignore[misc]  # supervisor has no types
    """Also wakes for signals, through a pipe that Python writes to for each (signal.set_wakeup_fd)."""

    _wakeup: int | None = None
    _at_once = False

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        """What can be read and written; after a signal, and once more after that, without waiting."""
        if self._wakeup is None:
            self._wakeup = self._open()  # not earlier: supervisord closes all descriptors as it starts
        self.register_readable(self._wakeup)
        readable, writable = super().poll(0 if self._at_once else timeout)
        self._at_once = self._wakeup in readable
        if self._at_once:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup, _DRAIN_BYTES)
        return [descriptor for descriptor in readable if descriptor != self._wakeup], writable

    @staticmethod
    def _open() -> int:
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        return read


if __name__ == "__main__":
    poller.Poller = WakingPoller
    supervisord.main()
