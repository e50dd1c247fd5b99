"""Whether another user can reach a file, read from modes alone: no process is started to try."""

from __future__ import annotations

import os
import stat
from pathlib import Path

READ = 4
EXECUTE = 1
# The kernel's own limit (path_resolution(7)); beyond it a path is a loop.
_LINKS_MAX = 40


def reachable(path: Path, uid: int, gid: int, need: int = READ) -> bool:
    """Whether user ``uid`` of group ``gid`` can enter every directory on the way to ``path`` and use it.

    ``need`` is ``READ``, ``EXECUTE`` or both. Symbolic links are followed one by one, since each link's own
    directories count. Access control lists and further groups are not looked at; a path that is not there
    is not reachable.
    """
    try:
        return _walk(Path(os.path.abspath(path)), uid, gid, need)  # noqa: PTH100 - links must stay
    except OSError:
        return False


def _walk(path: Path, uid: int, gid: int, need: int) -> bool:
    here = Path("/")
    rest = list(reversed(path.parts[1:]))
    links = 0
    while rest:
        if not permits(here.lstat(), uid, gid, EXECUTE):
            return False
        part = rest.pop()
        if part == "..":
            here = here.parent
            continue
        step = here / part
        if step.is_symlink():
            links += 1
            if links > _LINKS_MAX:
                return False
            target = step.readlink()
            if target.is_absolute():
                here = Path("/")
            rest.extend(reversed([name for name in target.parts if name != "/"]))
        else:
            here = step
    return permits(here.lstat(), uid, gid, need)


def permits(status: os.stat_result, uid: int, gid: int, need: int) -> bool:
    """Whether a mode gives user ``uid`` of group ``gid`` what it needs.

    The three bits of the first class that matches decide alone, as the kernel has it.
    """
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid == uid:
        bits = mode >> 6
    elif status.st_gid == gid:
        bits = mode >> 3
    else:
        bits = mode
    return bits & need == need
