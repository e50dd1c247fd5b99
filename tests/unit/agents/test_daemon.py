"""supervisord's poller wakes for a signal, and for one round more."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from renecinfra.agents.daemon import WakingPoller


@pytest.fixture
def poller() -> Iterator[WakingPoller]:
    made = WakingPoller(None)
    before = signal.signal(signal.SIGUSR2, lambda number, frame: None)
    try:
        yield made
    finally:
        os.close(signal.set_wakeup_fd(-1))
        os.close(made._wakeup)
        made.close()
        signal.signal(signal.SIGUSR2, before)


def timed(poller: WakingPoller, timeout: float) -> tuple[float, list[int]]:
    begun = time.monotonic()
    readable, _ = poller.poll(timeout)
    return time.monotonic() - begun, readable


def test_a_signal_wakes_it_for_two_rounds(poller: WakingPoller) -> None:
    assert timed(poller, 0.1)[0] >= 0.1
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR2)).start()
    seconds, readable = timed(poller, 10)
    assert (seconds < 5, readable) == (True, [])
    assert timed(poller, 10)[0] < 5
    assert timed(poller, 0.1)[0] >= 0.1


def test_what_can_be_read_is_still_told(poller: WakingPoller) -> None:
    read, write = os.pipe()
    try:
        poller.register_readable(read)
        os.write(write, b"x")
        os.kill(os.getpid(), signal.SIGUSR2)
        assert poller.poll(0.1)[0] == [read]
    finally:
        os.close(read)
        os.close(write)
