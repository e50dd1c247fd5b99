"""The last lines of a log file that a service user owns."""

from __future__ import annotations

import os
from pathlib import Path

_TAIL_BYTES = 65536


def tail(path: Path, lines: int) -> list[str]:
    """The last ``lines`` lines (of the last 64 KiB); none when there is no such file."""
    try:
        # The service user owns the directory: do not follow what it may have linked there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(descriptor, "rb") as stream:
        size = os.fstat(descriptor).st_size
        stream.seek(max(0, size - _TAIL_BYTES))
        text = stream.read(_TAIL_BYTES).decode("utf-8", "replace")
    found = text.splitlines()
    if size > _TAIL_BYTES:
        found = found[1:]
    return found[-lines:] if lines > 0 else []
