"""A database that is restored beside the running one: its own directory, its own socket, no port, no archive.

Every method can be interrupted and called again. Nothing here touches the running database, and nothing that
runs here can: it archives nothing, listens on a socket of its own, and runs as the service user.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from renecinfra import process
from renecinfra.errors import RestoreError
from renecinfra.recovery.engine import restore_command, settings, write_out
from renecinfra.recovery.engine.explaining import explain
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.engine.recipe import End, Recipe, Replayed
from renecinfra.recovery.engine.wal import Lsn, Segment
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.repository import PgBackRest, restore_argv

if TYPE_CHECKING:
    import psycopg

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POLL_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 300
_BEGIN_SECONDS: Final = 10
_CONNECT_SECONDS: Final = 5
_SOCKET_NAME: Final = 5432
_LOG_LINES: Final = 15
_SHARE: Final = re.compile(r"restore (?:zeroed )?file .*\(\S+, ([0-9.]+)%\)")
_FETCHERS_MOST: Final = 16
# With pgBackRest's own 1 MiB, 1 GB took 1.5 to 2.6 s, with this 1.5 s each time: buffers that fit the caches.
_BUFFER: Final = "256KiB"


class Beside:
    """One restored database in ``directory``: ``cluster`` is its data, the rest is how it is made."""

    def __init__(self, database: ProtectedDatabase, directory: Path, *, purpose: str, marker: str) -> None:
        """Nothing is done yet.

        Args:
            database: what is protected.
            directory: where it is restored to; on the same file system as the running database if it is to be
                put in its place.
            purpose: a short word that names its socket's directory (``restore``, ``drill``).
            marker: what its processes carry as RENECINFRA_SERVICE, by which `down` finds them.
        """
        self.database = database
        self.directory = directory
        self.cluster = directory / "cluster"
        self.log = directory / "server.log"
        self.socket = Path(database.socket) / purpose
        self.port = _SOCKET_NAME
        self.files = OwnedFiles(database.identity)
        self._marker = marker

    # --- files

    def fetch(self, recipe: Recipe, note: Callable[[str], None] = lambda _text: None) -> None:
        """Bring the backup's files; what an interrupted call brought is used again. Tells how much is there.

        Raises:
            RestoreError: the backup cannot be had whole, or the disk is full.
        """
        self.files.make_directory(self.directory)
        fetched = self.directory / "fetched"
        if self.files.read(fetched) == recipe.label:
            return
        again = self.files.exists(self.cluster / "backup.manifest") or self.files.exists(
            self.cluster / "PG_VERSION"
        )
        if not again:
            self.files.remove(self.cluster)
        self.files.make_directory(self.cluster)
        options = ["--type=none", "--log-level-console=detail", *self._own_paths()]
        options.append(f"--process-max={_fetchers(os.cpu_count() or 1)}")
        options.append(f"--buffer-size={_BUFFER}")
        options += ["--delta"] if again else []
        argv = restore_argv(
            self.database,
            str(self.cluster),
            repository=recipe.repository,
            label=recipe.label,
            options=options,
        )
        tool = PgBackRest(self.database)
        try:
            with write_out.flushing(self.cluster):
                tool.run(argv, timeout=None, on_line=lambda line: _tell_share(line, note))
        except RestoreError as error:
            if error.id == "backup-set-missing":
                # So it says of a repository that it cannot open; what is listed of it tells why.
                tool.info().require_readable()
            raise
        self.files.write(self.cluster / "recovery.signal", "")
        self.files.write(fetched, recipe.label)

    def _own_paths(self) -> list[str]:
        """Locks and logs of its own: it must not wait for a backup of the running database."""
        return [f"--lock-path={self.directory / 'lock'}", f"--log-path={self.directory}"]

    # --- server

    def start(self, recipe: Recipe) -> None:
        """Start replaying, if it does not run yet.

        Raises:
            ToolError: it cannot be started at all.
        """
        if self.running():
            return
        self._write_configuration(recipe)
        options = settings.command_line(self._settings(recipe))
        self.files.run("mv", "-f", "--", str(self.log), f"{self.log}.before", check=False)
        self._pg_ctl("start", "-W", "-s", "-l", str(self.log), "-o", options)
        # It has either written its pid by now, or why it could not.
        deadline = time.monotonic() + _BEGIN_SECONDS
        while not self.running() and not self.log_tail() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS / 2)

    def serve(self) -> None:
        """Start what has been replayed to its end, to look at it."""
        if not self.running():
            options = settings.command_line(self._base_settings())
            self._pg_ctl("start", "-w", "-s", "-l", str(self.log), "-o", options)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server, with a checkpoint unless ``immediate``; no error where it does not run."""
        if self.running():
            mode = "immediate" if immediate else "fast"
            self._pg_ctl("stop", "-s", "-w", "-t", str(_STOP_SECONDS), "-m", mode)

    def running(self) -> bool:
        """Whether its postmaster lives."""
        text = self.files.read(self.cluster / "postmaster.pid")
        first = (text or "").split("\n", 1)[0].strip()
        if not first.isdigit():
            return False
        try:
            stat = Path(f"/proc/{first}/stat").read_text(encoding="utf-8", errors="replace")
            place = Path(f"/proc/{first}/cwd").resolve()
        except OSError:
            return False
        # The number may be another process' by now; a postmaster stays in its data directory.
        return stat.rpartition(")")[2].split()[0] not in ("Z", "X") and place == self.cluster.resolve()

    def remove(self) -> None:
        """Stop it and remove all of it."""
        with contextlib.suppress(RestoreError):
            self.stop(immediate=True)
        self.files.remove(self.directory)
        self.files.remove(self.socket)

    def _pg_ctl(self, *arguments: str) -> None:
        environment = {"PATH": _PATH, "LC_ALL": "C", "TZ": "UTC", "RENECINFRA_SERVICE": self._marker}
        process.run(
            [self.database.program("pg_ctl"), *arguments, "-D", str(self.cluster)],
            env=environment,
            timeout=_STOP_SECONDS + 30,
            identity=self.database.identity,
            cwd=Path("/"),
        )

    def _write_configuration(self, recipe: Recipe) -> None:
        archived = Segment.parse(recipe.archived) if recipe.archived else None
        self.files.make_directory(self.directory / "spool")
        script = restore_command.script(
            self.archive_get(),
            archived,
            [Path(source) for source in recipe.sources],
            ahead=self.archive_get(ahead=True),
        )
        self.files.write(self.directory / "restore_command.sh", script)

    def archive_get(self, *, ahead: bool = False) -> list[str]:
        """The command that takes a file from the archive, without the file's name and the path.

        With ``ahead`` it brings those that follow too, into a spool of its own.
        """
        from renecinfra.recovery.repository import base_argv

        spool = [f"--spool-path={self.directory / 'spool'}"] if ahead else ["--no-archive-async"]
        options = [f"--pg1-path={self.cluster}", *spool, *self._own_paths()]
        scrubbed = ["env", "-i", f"PATH={_PATH}", "LC_ALL=C.UTF-8", "TZ=UTC"]
        return [*scrubbed, *base_argv(self.database, "archive-get", [*options, "--log-level-console=warn"])]

    def _base_settings(self) -> dict[str, str]:
        import pwd

        self.files.make_directory(self.socket)
        names = {pwd.getpwuid(self.database.uid).pw_name, "root"}
        # Matched by the user at the other end of the socket; the operators' names are nobody else's business.
        self.files.write(self.directory / "pg_hba.conf", "local all postgres peer map=recovery\n")
        lines = "".join(f'recovery "{name}" postgres\n' for name in sorted(names))
        self.files.write(self.directory / "pg_ident.conf", lines)
        self.files.write(self.directory / "postgresql.conf", "# All settings are on the command line.\n")
        return {
            "config_file": str(self.directory / "postgresql.conf"),
            "hba_file": str(self.directory / "pg_hba.conf"),
            "ident_file": str(self.directory / "pg_ident.conf"),
            "listen_addresses": "",
            "port": str(_SOCKET_NAME),
            "unix_socket_directories": str(self.socket),
            "archive_mode": "off",
            "synchronous_standby_names": "",
            "shared_preload_libraries": "",
            "log_destination": "stderr",
            "logging_collector": "off",
            "log_timezone": "UTC",
            "timezone": "UTC",
            "log_statement": "none",
            "log_min_error_statement": "panic",
            "shared_buffers": f"{settings.buffers() >> 20}MB",
            **settings.limits(self.control()),
            **settings.FAST_REPLAY,
        }

    def _settings(self, recipe: Recipe) -> dict[str, str]:
        return {
            **self._base_settings(),
            "hot_standby": "on",
            "restore_command": restore_command.setting(self.directory / "restore_command.sh"),
            # A backup of this timeline needs no history file, which went with the archive if that is new.
            "recovery_target_timeline": "current"
            if recipe.begins == recipe.timeline
            else str(recipe.timeline),
            "recovery_target_action": "promote",
            **recipe.target,
        }

    def control(self) -> dict[str, str]:
        """What pg_controldata says, by its own names."""
        return settings.control(self.database, self.cluster)

    # --- questions

    @contextlib.contextmanager
    def connected(self, name: str = "postgres", *, seconds: int = 0) -> Iterator[psycopg.Connection[Any]]:
        """A session as superuser in autocommit mode; ``seconds`` bounds each statement, 0 does not.

        Raises:
            psycopg.Error: it does not answer.
        """
        import psycopg

        with psycopg.connect(
            host=str(self.socket),
            port=_SOCKET_NAME,
            user="postgres",
            dbname=name,
            application_name="renecinfra",
            connect_timeout=_CONNECT_SECONDS,
            client_encoding="utf8",
            autocommit=True,
            options=f"-c statement_timeout={seconds * 1000}",
        ) as connection:
            yield connection

    def progress(self) -> Replayed | None:
        """How far it is; None while it cannot be asked yet.

        Raises:
            RestoreError: the server has ended.
        """
        import psycopg

        try:
            with self.connected(seconds=_CONNECT_SECONDS) as connection:
                row = connection.execute(
                    "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text, "
                    "pg_last_xact_replay_timestamp()"
                ).fetchone()
        except psycopg.Error:
            if not self.running():
                raise self.failure() from None
            return None
        if row is None:
            return None
        return Replayed(Lsn.parse(row[1] or "0/0"), row[2], ended=not row[0])

    def watch(self, tell: Callable[[Replayed], None]) -> End:
        """Wait until replaying has ended and the server has opened; says how far it is meanwhile.

        Raises:
            RestoreError: the server ended before that; says why, and how far it came.
        """
        while True:
            seen = self.progress()
            if seen is not None:
                tell(seen)
                if seen.ended:
                    return self.end(seen)
            time.sleep(_POLL_SECONDS)

    def end(self, seen: Replayed | None = None) -> End:
        """Where the replay ended, from the timeline's history, which is on disk."""
        with self.connected(seconds=60) as connection:
            row = connection.execute(
                "SELECT ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int"
            ).fetchone()
            assert row is not None  # one row, always
            timeline = int(row[0])
        history = self.files.read(self.cluster / "pg_wal" / f"{timeline:08X}.history") or ""
        lines = [line.split("\t") for line in history.splitlines() if line.strip()]
        if not lines:
            raise RestoreError(
                "restore-not-promoted",
                f"the restored database is open on timeline {timeline} without having begun it",
                hint="look at its log, and start the restore again with --abort and then a new target",
                details=self.log_tail(),
            )
        return End(timeline, Lsn.parse(lines[-1][1].strip()), seen.at if seen else None)

    def log_tail(self) -> tuple[str, ...]:
        """The last lines of its log."""
        text = self.files.run("tail", "-n", str(_LOG_LINES), "--", str(self.log), check=False).stdout
        return tuple(text.splitlines())

    def failure(self) -> RestoreError:
        """Why the server has ended, from its log."""
        text = self.files.run("tail", "-n", "200", "--", str(self.log), check=False).stdout
        return explain(text.splitlines())


def _tell_share(line: str, note: Callable[[str], None]) -> None:
    match = _SHARE.search(line)
    if match is not None:
        note(f"{float(match[1]):.0f} % of the files")


def _fetchers(cores: int) -> int:
    """How many processes bring files: one waits for the disk while another unpacks, and files are large.

    Twice the cores took 5.4 s for 3 GB, as many as cores 6.5 s (two cores); with more it was no less.
    """
    return min(2 * cores, _FETCHERS_MOST)
