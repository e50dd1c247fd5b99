"""What the last lines of a restored server's log mean for a person. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from renecinfra.errors import RestoreError

_LOG_LINES: Final = 15


def explain(log: Sequence[str]) -> RestoreError:
    """The error that the last lines of a restored server's log mean."""
    text = "\n".join(log)
    said = [line for line in log if line.startswith("restore_command: ")]
    reached = re.findall(r"last completed transaction was at log time (\S+ \S+)", text)
    where = f"; it ended at {reached[-1]}" if reached else ""
    details = tuple(log[-_LOG_LINES:])
    if said and ("a gap" in said[-1] or "not any more" in said[-1]):
        return RestoreError(
            "restore-gap",
            f"the WAL has a gap, so that replaying would have lost what is behind it: {said[-1][17:]}{where}",
            hint="restore to a moment before the gap, or from the other repository; `backup ENV list` "
            "shows both",
            details=details,
        )
    if said and "cannot give it" in said[-1]:
        return RestoreError(
            "restore-wal-damaged",
            f"WAL cannot be taken from the archive: {said[-1][17:]}{where}",
            hint="`renecinfra backup ENV verify` names what is damaged; restore to before it, or from "
            "repository 2",
            details=details,
        )
    if "recovery ended before configured recovery target was reached" in text:
        return RestoreError(
            "restore-target-unreached",
            f"the WAL ends before the target{where}",
            hint="use --latest for all that there is, or an earlier target",
            details=details,
        )
    if "No space left on device" in text:
        return RestoreError(
            "restore-disk-full",
            f"the disk became full while WAL was replayed{where}",
            hint="make room, then run the restore with --resume; the running database is as it was",
            details=details,
        )
    # To those who ask too early it says that it is still starting up, as FATAL too.
    fatal = [
        line
        for line in log
        if ("FATAL:" in line or "PANIC:" in line) and "the database system is" not in line
    ]
    why = fatal[-1].partition(":  ")[2] if fatal else "its log says nothing of it"
    return RestoreError(
        "restore-replay-failed",
        f"the restored server ended while it replayed: {why}{where}",
        hint="its log is beside it; `restore ENV --resume` tries again, `--abort` removes it",
        details=details,
    )
