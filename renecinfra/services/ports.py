"""Who listens on this machine's ports, from /proc alone: no process is started for it."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from renecinfra.agents import processes
from renecinfra.errors import ToolError
from renecinfra.workspace import EnvironmentPaths

_LISTEN = "0A"  # TCP_LISTEN of include/net/tcp_states.h
_COMMAND_MAX = 120
# A listener on one of these keeps 127.0.0.1 from being listened on; a dual-stack `::` does, too.
_BLOCKING = {"127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"}  # noqa: S104


@dataclass(frozen=True, slots=True)
class Holder:
    """Who listens on a port. The kernel shows a process of another user to root only: its pid is None then.

    ``service`` is ``<home>/<service>`` of an environment of ours, when the process says so.
    """

    port: int
    pid: int | None
    command: str
    user: str
    service: str | None


def holders(ports: Iterable[int]) -> dict[int, Holder]:
    """Who holds which of these ports on 127.0.0.1; free ones are absent."""
    sockets = {inode: (port, uid) for port, uid, inode in _listeners(set(ports))}
    found: dict[int, Holder] = {}
    if not sockets:
        return found
    for pid, inode in _owners(set(sockets)):
        port, uid = sockets[inode]
        if port not in found:
            found[port] = Holder(port, pid, _command(pid), _user(uid), processes.marker(pid))
    for port, uid in sockets.values():
        found.setdefault(port, Holder(port, None, "a process of another user", _user(uid), None))
    return found


def require_free(ports: Mapping[str, int], paths: EnvironmentPaths) -> None:
    """See that every listener can have its port; one that this environment itself holds is as good as free.

    Raises:
        ToolError: a port is taken. Names the listener, the port, and who holds it; details name the others.
    """
    held = holders(ports.values())
    taken = [
        (name, held[port])
        for name, port in sorted(ports.items(), key=lambda item: item[1])
        if port in held and not _ours(held[port], paths)
    ]
    if not taken:
        return
    name, holder = taken[0]
    raise ToolError(
        "port-taken",
        f"port {holder.port} of {name} is taken by {_describe(holder)}",
        hint="end that process, or give the environment other ports with `--set platform.port_base=…`",
        details=tuple(
            f"port {other.port} of {name} is taken, too, by {_describe(other)}" for name, other in taken[1:]
        ),
    )


def _ours(holder: Holder, paths: EnvironmentPaths) -> bool:
    return holder.pid is not None and processes.owner(paths.home, paths.run, holder.pid)


def _describe(holder: Holder) -> str:
    if holder.pid is None:
        return f"{holder.command}, {holder.user}"
    who = "" if holder.user == _user(os.geteuid()) else f" of user {holder.user}"
    of = f", which is {holder.service}" if holder.service else ""
    return f"pid {holder.pid}{who} ({holder.command}){of}"


def _listeners(ports: set[int]) -> Iterator[tuple[int, int, int]]:
    """Port, uid and socket inode of each listener (proc(5), /proc/net/tcp)."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in lines:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == _LISTEN and int(port, 16) in ports and _address(address) in _BLOCKING:
                yield int(port, 16), int(fields[7]), int(fields[9])


def _address(text: str) -> str:
    # Words of 32 bits in the machine's byte order.
    words = [int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words))


def _owners(inodes: set[int]) -> Iterator[tuple[int, int]]:
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted, of hundreds
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            for descriptor in os.scandir(f"/proc/{name}/fd"):
                with contextlib.suppress(OSError):
                    inode = wanted.get(os.readlink(descriptor.path))  # noqa: PTH115 - as above
                    if inode is not None:
                        yield int(name), inode


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "gone meanwhile"
    # The program's name alone: other arguments may hold someone's password.
    return Path(words[0]).name[:_COMMAND_MAX] if words[0] else "no command line"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
