"""Moving bytes between us and a program's pipes: lines out, input in, never blocking for ever."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Sequence
from typing import IO, Final

from renecinfra.redaction import redactor

_TICK: Final = 0.1
# A daemon that inherited the output keeps it open after the program's end: read what is there, then stop.
_AFTER_END: Final = 0.2
_CHUNK: Final = 65536


class Lines:
    """Bytes from one descriptor, cut into redacted lines for a callback, and kept for the result."""

    def __init__(self, descriptor: int, on_line: Callable[[str], None] | None, *, keep: bool = True) -> None:
        self.descriptor = descriptor
        self._on_line = on_line
        self._keep = keep
        self._kept = bytearray()
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take in what was read."""
        if self._keep:
            self._kept += chunk
        if self._on_line is not None:
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._on_line(redactor(line.decode(errors="replace").rstrip("\r")))

    def end(self) -> None:
        """Hand on a last line that has no end."""
        if self._on_line is not None and self._rest:
            rest, self._rest = self._rest, b""
            self._on_line(redactor(rest.decode(errors="replace")))

    def text(self) -> str:
        """All that came, as it came."""
        return self._kept.decode(errors="replace")


class Input:
    """Bytes for a program's standard input, which is closed behind the last of them."""

    def __init__(self, pipe: IO[bytes], data: bytes) -> None:
        self.pipe = pipe
        self._data = memoryview(data)
        os.set_blocking(pipe.fileno(), False)

    def write(self) -> bool:
        """Write what goes in now; whether that was all, or all that the program wants."""
        try:
            self._data = self._data[os.write(self.pipe.fileno(), self._data[:_CHUNK]) :]
        except BrokenPipeError:
            self._data = self._data[:0]
        if len(self._data) > 0:
            return False
        self.pipe.close()
        return True


def pump(
    sources: Sequence[Lines],
    *,
    ended: Callable[[], bool],
    tick: Callable[[], None],
    data: Input | None = None,
) -> None:
    """Read every source to its end, or to a moment after ``ended()`` where something keeps it open.

    ``tick`` is called at least every 0.1 s; what it raises ends the pumping.
    """
    end_seen: float | None = None
    with selectors.DefaultSelector() as selector:
        for lines in sources:
            selector.register(lines.descriptor, selectors.EVENT_READ, lines)
        if data is not None:
            selector.register(data.pipe, selectors.EVENT_WRITE)
        while len(selector.get_map()) > 0:
            ready = selector.select(_TICK)
            for key, _ in ready:
                if data is not None and key.fileobj is data.pipe:
                    descriptor = key.fd
                    if data.write():
                        selector.unregister(descriptor)
                elif chunk := os.read(key.fd, _CHUNK):
                    key.data.feed(chunk)
                else:
                    selector.unregister(key.fd)
            tick()
            if end_seen is None and ended():
                end_seen = time.monotonic()
            if not ready and end_seen is not None and time.monotonic() - end_seen > _AFTER_END:
                break
    for lines in sources:
        lines.end()
