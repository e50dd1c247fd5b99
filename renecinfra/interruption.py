"""What Ctrl-C, SIGTERM and SIGHUP do to us: an exception, or a word to the child that runs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Until the end of the block, SIGTERM and SIGHUP raise KeyboardInterrupt as SIGINT does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handling((signal.SIGTERM, signal.SIGHUP), interrupt):
        yield


@contextmanager
def _handling(numbers: Sequence[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in numbers:
        # What is ignored stays ignored: that is what nohup and a shell's `&` ask for.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class Interruption:
    """Signals of ours, turned into one byte to the guard (``guard.py``) of a running child."""

    def __init__(self, alive: int) -> None:  # the write end of the guard's life pipe
        self._alive = alive
        self.asked = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Until the end of the block, our signals ask the child to stop and do nothing else."""
        with _handling(_STOP_SIGNALS, lambda _number, _frame: self.ask()):
            yield

    def ask(self) -> None:
        """Ask the child to stop, once."""
        if not self.asked:
            self.asked = True
            with suppress(BrokenPipeError):  # the guard is gone, and the program with it
                os.write(self._alive, b"s")
