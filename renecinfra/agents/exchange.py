"""Have two directories change places at once: at no moment is either of them missing.

``python -I -S exchange.py ONE OTHER``; both on the same file system. Run as the user who owns what is above
them. Exits 0 when they have changed places, 1 with a message on stderr when they have not.
"""

from __future__ import annotations

import ctypes
import os
import sys

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # renameat2(2), include/uapi/linux/fs.h


def exchange(one: str, other: str) -> None:
    """Exchange two paths' meanings.

    Raises:
        OSError: one is missing, or the file system cannot do it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), one, None, other)
    for path in {os.path.dirname(one), os.path.dirname(other)}:  # noqa: PTH120 - starts without pathlib
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def main(arguments: list[str]) -> int:
    """Exchange the two that are named."""
    if len(arguments) != 2:
        print("usage: exchange.py ONE OTHER", file=sys.stderr)  # noqa: T201
        return 64
    try:
        exchange(*arguments)
    except OSError as error:
        print(f"exchange: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
