"""Files in directories of the service user's, always touched as that user, so that no link can lead root
astray.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from renecinfra import process
from renecinfra.errors import RestoreError, ToolError

_SECONDS: Final = 600.0
_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


class OwnedFiles:
    """Makes, writes, measures and removes files as one user."""

    def __init__(self, identity: tuple[int, int]) -> None:
        self._identity = identity

    def run(self, *argv: str, check: bool = True, text: str | None = None) -> process.Completed:
        """Run a small program as the user; ``text`` is what it reads.

        Raises:
            RestoreError: ``restore-disk-full`` where the disk is.
            ToolError: it failed otherwise.
        """
        try:
            return process.run(
                argv,
                env=_ENVIRONMENT,
                timeout=_SECONDS,
                check=check,
                input=text,
                identity=self._identity,
                cwd=Path("/"),
            )
        except ToolError as error:
            if any("No space left" in line for line in error.details):
                raise RestoreError(
                    "restore-disk-full",
                    "the disk that the restore writes to is full",
                    hint="make room, then run the restore with --resume; the running database is as it was",
                    details=error.details,
                ) from None
            raise

    def make_directory(self, path: Path) -> None:
        """Make a directory that only the user may enter, and those above it."""
        self.run("/bin/sh", "-c", 'umask 077; mkdir -p -- "$1"', "sh", str(path))

    def write(self, path: Path, text: str) -> None:
        """Write a file whole or not at all; 0600."""
        script = 'umask 077; cat >"$1.new" && mv -f -- "$1.new" "$1"'
        self.run("/bin/sh", "-c", script, "sh", str(path), text=text)

    def read(self, path: Path) -> str | None:
        """A file's text; None where there is none."""
        done = self.run("cat", "--", str(path), check=False)
        return done.stdout if done.returncode == 0 else None

    def exists(self, path: Path) -> bool:
        """Whether something is there, a dangling link too."""
        return (
            self.run("/bin/sh", "-c", '[ -e "$1" ] || [ -L "$1" ]', "sh", str(path), check=False).returncode
            == 0
        )

    def remove(self, path: Path) -> None:
        """Remove a file or a directory with all that is in it; links are removed, not followed."""
        self.run("rm", "-rf", "--one-file-system", "--", str(path))

    def empty(self, path: Path) -> None:
        """Remove what is in a directory, and leave the directory."""
        self.run("find", str(path), "-mindepth", "1", "-delete")

    def size(self, path: Path) -> int:
        """Bytes on disk of a directory, as far as it can be read; 0 where there is none."""
        done = self.run("du", "-s", "-B1", "--", str(path), check=False)
        return int(done.stdout.split()[0]) if done.stdout.strip() else 0

    def free(self, path: Path) -> int:
        """Bytes that the user may still write where ``path`` is, or will be."""
        there = path
        while not self.exists(there) and there != there.parent:
            there = there.parent
        done = self.run("df", "--output=avail", "-B1", "--", str(there))
        return int(done.stdout.split()[-1])
