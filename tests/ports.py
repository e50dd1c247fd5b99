"""Ports for the servers that tests start, when several test processes run side by side."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import TextIO

from renecinfra.profiles.platform import PORT_OFFSETS

PORTS_PER_ENVIRONMENT = max(PORT_OFFSETS.values()) + 1

BASES = range(11_000, 31_000, 100)

# The ranges that this process has claimed, each by a lock that ends with it; the last one claimed comes last.
_claims: dict[int, TextIO] = {}


def free_port_base() -> int:
    """The first port of a range that is free now and that no other test process has claimed.

    The ranges lie below the ports that clients are given. One's own are used again only after all others.
    """
    last = next(reversed(_claims), BASES[-1])
    turn = [*(base for base in BASES if base > last), *(base for base in BASES if base <= last)]
    for base in turn:
        if _claim(base) and all(_free(base + offset) for offset in range(PORTS_PER_ENVIRONMENT)):
            return base
    raise AssertionError("no free range of ports")


def _claim(base: int) -> bool:
    """A range that is free is not yet one's own: another process may be about to use it."""
    claim = _claims.pop(base, None)
    if claim is None:
        claim = Path(tempfile.gettempdir(), f"renecinfra-tests-{os.getuid()}-{base}.lock").open("w")  # noqa: SIM115
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            claim.close()
            return False
    _claims[base] = claim
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
