"""What PostgreSQL runs for each file of WAL that it wants to replay: strict, and with more sources than one.

PostgreSQL takes an exit code of 1 for the end of the archive, stops replaying there and opens for business.
So a missing or damaged segment would lose everything after it in silence. The script made here says 1 only
where the archive really ends, and otherwise ends the recovery with an exit code over 125.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from renecinfra.recovery.engine.wal import Segment

ABORT = 200
"""The exit code that ends a recovery: PostgreSQL gives up at any over 125."""

_SCRIPT = """\
#!/bin/sh
# restore_command: fetches the WAL file $1 to the path $2. Made by renecinfra for one restore.
# 0: there it is. 1: it is past the end of everything that there is. {abort}: replaying must not go on.
set -u
say() {{ printf 'restore_command: %s: %s\\n' "$file" "$*" >&2; }}
file=$1
path=$2
last={last}
{fetch}code=$?
rm -f -- "$path"

# Whoever else has it: the WAL receiver, the primary's own pg_wal, a replica's. PostgreSQL checks each
# record, and the rest of a segment that is still being written is the end of the WAL to it.
for directory in {sources}; do
    for found in "$directory/$file" "$directory/$file.partial"; do
        if [ -f "$found" ] && cp -- "$found" "$path.copy" && [ -s "$path.copy" ]; then
            case $file in *.history) ;; *)
                [ "$(wc -c <"$path.copy")" -eq {bytes} ] || continue ;;
            esac
            mv -- "$path.copy" "$path"
            say "not in the archive (exit code $code); taken from $found"
            exit 0
        fi
    done
done
rm -f -- "$path.copy"
if [ "$code" -ne 1 ]; then
    say "the archive cannot give it (exit code $code), and nobody else has it"
    exit {abort}
fi
case $file in
    *.history) exit 1 ;;
esac
# A file of 24 characters sorts as its place in the WAL does.
if [ "${{file%"${{file#????????}}"}}" = "${{last%"${{last#????????}}"}}" ] && [ "$file" != "$last" ] &&
    [ "$(printf '%s\\n%s\\n' "$file" "$last" | LC_ALL=C sort | tail -n 1)" = "$last" ]; then
    say "a gap: the archive goes on to $last without it"
    exit {abort}
fi
if [ "$file" = "$last" ]; then
    say "it was in the archive when this restore was planned, and is not any more"
    exit {abort}
fi
exit 1
"""


# Reading ahead takes a process that is started and waited for: 0.4 s (two cores), where one segment alone
# takes less than 0.1 s. Two kinds of segment are not worth it: the first ones, which are often all that is
# needed, and the last one, for which PostgreSQL asks again when it begins a new timeline.
_FETCH: Final = """\
{get} "$file" "$path" && exit 0
"""
_FETCH_AHEAD: Final = """\
given=${{0%/*}}/given
count=0
before=
if [ -f "$given" ]; then read -r count before <"$given"; fi
keep() {{ printf '%s %s\\n' "$((count + 1))" "$file" >"$given"; exit 0; }}
if [ "$count" -ge {alone} ] && [ "$file" != "$before" ]; then
    {ahead} "$file" "$path" && keep
else
    {get} "$file" "$path" && keep
fi
"""
_ALONE: Final = 4


def script(
    archive_get: Sequence[str],
    last: Segment | None,
    sources: Sequence[Path],
    *,
    ahead: Sequence[str] | None = None,
) -> str:
    """The script's text.

    Args:
        archive_get: the command that takes a file's name and a path from the archive, without those two.
        last: the newest segment that the archive is known to have, on the timeline that is replayed. One
            before it that is not there is a gap.
        sources: directories with WAL that the archive may not have yet, the most complete first.
        ahead: the same as ``archive_get``, but reading ahead, for the fifth segment and those after it. The
            script then keeps what it gave last in the file ``given`` beside it.
    """
    get = shlex.join(archive_get)
    fetch = (
        _FETCH.format(get=get)
        if ahead is None
        else _FETCH_AHEAD.format(get=get, ahead=shlex.join(ahead), alone=_ALONE)
    )
    return _SCRIPT.format(
        abort=ABORT,
        last=last.name if last else "none",
        fetch=fetch,
        sources=" ".join(shlex.quote(str(path)) for path in sources) or "''",
        bytes=16 << 20,
    )


def setting(script_path: Path) -> str:
    """The value of ``restore_command`` that runs the script at ``script_path``."""
    return f"/bin/sh {shlex.quote(str(script_path)).replace('%', '%%')} %f %p"
