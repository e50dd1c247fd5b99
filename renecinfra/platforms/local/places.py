"""Which database is the primary: the one whose directory bears its name. Directories change places here.

A database that is to be adopted carries a mark with the name of the restore, so that it can be told at any
time, after any interruption, which of the two is where.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from renecinfra import process
from renecinfra.agents import exchange
from renecinfra.errors import RestoreError, ToolError
from renecinfra.platforms.local import databases
from renecinfra.platforms.local.host import Host
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.engine.state import RestoreState

MARK: Final = "renecinfra.restore"
"""In the data directory of a database that is adopted: by which restore or failover."""
_SECONDS: Final = 30


class Places:
    """The primary's directory of one environment, and those of the databases that may take its place."""

    def __init__(self, host: Host) -> None:
        self.primary = databases.data_directory(host, databases.PRIMARY)
        self.replica = databases.data_directory(host, databases.REPLICA)
        self.restores = self.primary.parent / "restores"
        self.files = OwnedFiles((host.user.uid, host.user.gid))
        self._identity = (host.user.uid, host.user.gid)
        self._python = host.python

    def beside(self, state: RestoreState) -> Path:
        """Where the restored database is before the cutover, and the old one after it."""
        return Path(state.place) / "cluster"

    def mark(self, directory: Path, state: RestoreState) -> None:
        """Make a database the one that this restore adopts."""
        self.files.write(directory / MARK, state.id)

    def is_marked(self, directory: Path, state: RestoreState) -> bool:
        """Whether this directory has the database that this restore adopts."""
        return self.files.read(directory / MARK) == state.id

    def adopted(self, state: RestoreState) -> bool:
        """Whether the primary's directory has it."""
        return self.is_marked(self.primary, state)

    def adopt(self, state: RestoreState, directory: Path) -> bool:
        """Put the marked database in ``directory`` in the primary's place; whether an old one was kept.

        Raises:
            RestoreError: it is not there any more, or the file system cannot exchange directories.
        """
        kept = self.beside(state)
        if not self.adopted(state):
            if not self.is_marked(directory, state):
                raise RestoreError(
                    "restore-lost",
                    f"the database that is to be adopted is not in {directory} any more",
                    hint=f"run `renecinfra restore {state.environment} --abort`, then begin again",
                )
            if self.files.exists(self.primary):
                self.exchange(self.primary, directory)
            else:
                self.files.run("mv", "-T", "--", str(directory), str(self.primary))
        if directory != kept and self.files.exists(directory):
            self.files.make_directory(kept.parent)
            self.files.run("mv", "-T", "--", str(directory), str(kept))
        return self.files.exists(kept)

    def give_back(self, state: RestoreState) -> None:
        """Put the old database in the primary's place again."""
        if self.adopted(state):
            self.exchange(self.primary, self.beside(state))

    def exchange(self, one: Path, other: Path) -> None:
        """Have two directories change places at once.

        Raises:
            RestoreError: they could not; both are where they were.
        """
        code = Path(exchange.__file__).read_text(encoding="utf-8")
        try:
            process.run(
                [self._python, "-I", "-S", "-c", code, str(one), str(other)],
                env={"PATH": "/usr/bin:/bin"},
                identity=self._identity,
                timeout=_SECONDS,
                cwd=Path("/"),
            )
        except ToolError as error:
            raise RestoreError(
                "restore-exchange-failed",
                "two databases could not change places; both are where they were",
                details=error.details,
                hint="both must be on one file system that knows RENAME_EXCHANGE (ext4, xfs, btrfs, tmpfs)",
            ) from None

    def require_place(self, state: RestoreState) -> Path:
        """The restore's directory, once it is certain that it is one.

        Raises:
            RestoreError: the state names another directory.
        """
        place = Path(state.place)
        if place.parent != self.restores:
            raise RestoreError(
                "restore-state-unreadable",
                f"{place} is no directory of a restore of this environment",
                hint="the state's file was changed by hand: mend it, or remove it",
            )
        return place
