"""pgBackRest: command lines, and what it says of its repositories, as plain values.

Builders are pure and return argv; :class:`PgBackRest` runs them. ``--config`` is always given and no variable
of the caller reaches the program, because PGBACKREST_* would override the configuration and Debian ships a
configuration with a repository of its own. Works with pgBackRest 2.45 and later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from renecinfra import process
from renecinfra.errors import RenecError, RestoreError, ToolError
from renecinfra.process import Completed
from renecinfra.recovery.info import (
    ArchiveRange,
    Backup,
    BackupType,
    DatabaseHistory,
    Repository,
    RepositoryState,
    parse_damaged_files,
    parse_info,
)
from renecinfra.recovery.protected import ProtectedDatabase

__all__ = [
    "ArchiveRange",
    "Backup",
    "BackupType",
    "DatabaseHistory",
    "PgBackRest",
    "Repository",
    "RepositoryState",
]

_INFO_SECONDS: Final = 60.0
_SHORT_SECONDS: Final = 120.0
# Seconds in which a backup's own WAL has to be archived. While one repository hangs, a segment reaches the
# other one only after that was given up, try after try.
_BACKUP_ARCHIVE_SECONDS: Final = 240
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# pgBackRest's exit codes (src/build/error/error.yaml) that mean something to whoever restores: id and hint.
# It has the exit code of a file that cannot be understood.
_LABEL_ORDER: Final = "is not later than latest backup label"
_CLOCK: Final = (
    "backup-clock-wrong",
    "set this machine's clock; if it was ahead, backups go on once it is past the newest backup's time",
)
_ERROR: Final = re.compile(r"^.*ERROR: \[\d+\]: ")

_FAULTS: Final[dict[int, tuple[str, str]]] = {
    25: ("backup-tool-bug", "it is pgBackRest's own mistake: look for the message in its issues"),
    26: (
        "backup-corrupt",
        "run `renecinfra backup {env} verify`; restore from an older backup or repository 2",
    ),
    27: ("backup-configuration", "run `renecinfra up {env}`, which writes its configuration"),
    29: (
        "backup-key-wrong",
        "the repository was made with another pass phrase, or an info file and its copy are damaged",
    ),
    37: ("backup-configuration", "run `renecinfra up {env}`, which writes its configuration and its keys"),
    38: ("backup-database-running", "a database runs in the directory that is to be written"),
    40: ("backup-place-not-empty", "name an empty directory"),
    41: ("backup-repository-unusable", "mend the owner, the mode or the disk of the repository"),
    42: ("backup-repository-unusable", "mend the repository's disk"),
    44: ("backup-other-database", "the repository is another database's; run `renecinfra up {env}`"),
    45: (
        "backup-archive-duplicate",
        "two servers archive to one repository: stop the one that is not the primary",
    ),
    47: ("backup-repository-unusable", "mend the owner, the mode or the disk of the repository"),
    49: ("backup-repository-unreachable", "check the repository's address, its certificate and the network"),
    50: ("backup-running", "another backup of this environment runs; wait for it"),
    51: ("backup-other-database", "the repository is another database's; run `renecinfra up {env}`"),
    52: ("backup-repository-full", "make room where the repository is, then repeat"),
    55: ("backup-file-missing", "run `renecinfra backup {env} verify`, which names what is missing"),
    56: ("backup-database-unreachable", "look at `renecinfra logs {env} postgresql-primary`"),
    58: ("backup-other-database", "the repository is another database's; run `renecinfra up {env}`"),
    63: ("backup-interrupted", "run it again"),
    64: ("backup-repository-full", "make room where it writes, then repeat"),
    75: ("backup-set-missing", "`renecinfra backup {env} list` shows which backups there are"),
    82: (
        "archive-stalled",
        "look at `renecinfra logs {env} postgresql-primary` for the archive command's answer",
    ),
    87: ("archive-disabled", "run `renecinfra up {env}`, then restart postgresql-primary"),
    95: ("backup-key-wrong", "the pass phrase is not the one that the repository was made with"),
    103: ("backup-repository-unreachable", "check the repository's address, its certificate and the network"),
}


def base_argv(database: ProtectedDatabase, command: str, options: Iterable[str] = ()) -> list[str]:
    """The command line of any of pgBackRest's commands for this environment."""
    return [
        database.program("pgbackrest"),
        f"--config={database.config}",
        f"--config-include-path={database.secrets}",
        f"--stanza={database.stanza}",
        *options,
        command,
    ]


def archive_push_command(database: ProtectedDatabase, data: str) -> str:
    """PostgreSQL's ``archive_command`` for the server whose data directory is ``data``.

    A replica archives nothing until it is promoted; then its directory, not the configured one, is right.
    """
    argv = base_argv(database, "archive-push", [f"--pg1-path={data}"])
    return " ".join([*(_shell_quoted(word) for word in argv), '"%p"'])


def _shell_quoted(word: str) -> str:
    import shlex

    # PostgreSQL expands % in its commands.
    return shlex.quote(word).replace("%", "%%")


def backup_argv(
    database: ProtectedDatabase,
    kind: BackupType,
    *,
    repository: int = 1,
    annotations: Mapping[str, str] | None = None,
    expire: bool = True,
) -> list[str]:
    """A backup into one repository; annotations are kept with it and shown by ``info``."""
    options = [f"--type={kind}", f"--repo={repository}", "--log-level-console=detail"]
    options.append(f"--archive-timeout={_BACKUP_ARCHIVE_SECONDS}")
    options += [f"--annotation={key}={value}" for key, value in sorted((annotations or {}).items())]
    if not expire:
        options.append("--no-expire-auto")
    return base_argv(database, "backup", options)


def info_argv(
    database: ProtectedDatabase, label: str | None = None, repository: int | None = None
) -> list[str]:
    """What there is, as JSON; of one backup with its files' errors when a label is given."""
    options = ["--output=json"]
    options += [f"--repo={repository}"] if repository is not None else []
    options += [f"--set={label}"] if label is not None else []
    return base_argv(database, "info", options)


def verify_argv(database: ProtectedDatabase, repository: int) -> list[str]:
    """Checksums of everything in a repository. Its exit code says nothing: see ``recovery.verification``."""
    return base_argv(
        database,
        "verify",
        [f"--repo={repository}", "--output=text", "--verbose", "--log-level-console=detail"],
    )


def restore_argv(
    database: ProtectedDatabase, data: str, *, repository: int, label: str | None, options: Iterable[str] = ()
) -> list[str]:
    """The files of a backup into the directory ``data``."""
    chosen = [f"--pg1-path={data}", f"--repo={repository}"]
    chosen += [f"--set={label}"] if label is not None else []
    return base_argv(database, "restore", [*chosen, *options])


def expire_argv(
    database: ProtectedDatabase, repository: int, *, label: str | None = None, dry_run: bool = False
) -> list[str]:
    """Expire what retention no longer holds, or one backup with all that depend on it."""
    options = [f"--repo={repository}", "--log-level-console=info"]
    options += [f"--set={label}"] if label is not None else []
    options += ["--dry-run"] if dry_run else []
    return base_argv(database, "expire", options)


class PgBackRest:
    """Runs pgBackRest for one environment as the user who owns its files."""

    def __init__(self, database: ProtectedDatabase) -> None:
        self.database = database

    def info(self) -> Repository:
        """What the repositories have. An environment without a stanza has an empty answer, no error.

        Raises:
            RenecError: pgBackRest cannot be run, or its answer cannot be understood.
        """
        done = self.run(info_argv(self.database), timeout=_INFO_SECONDS)
        return parse_info(done.stdout, self.database.stanza)

    def damaged_files(self, backup: Backup) -> tuple[str, ...]:
        """The files of a backup whose pages had wrong checksums when they were copied."""
        done = self.run(info_argv(self.database, backup.label, backup.repository), timeout=_INFO_SECONDS)
        return parse_damaged_files(done.stdout, backup.label)

    def create_stanza(self) -> None:
        """Make the stanza in every repository; does nothing where it is there.

        Raises:
            RestoreError: ``backup-other-database`` where the repository is of an earlier database: see
                :meth:`upgrade_stanza`; or as :meth:`run`.
        """
        self.run(base_argv(self.database, "stanza-create"), timeout=_SHORT_SECONDS)

    def upgrade_stanza(self) -> None:
        """Let a database that was made anew, or a newer version, use the repository of the one before."""
        self.run(base_argv(self.database, "stanza-upgrade"), timeout=_SHORT_SECONDS)

    def check(self, seconds: float = 60.0) -> None:
        """Have the primary archive a segment and find it in every repository."""
        options = [f"--archive-timeout={max(1, int(seconds))}"]
        self.run(base_argv(self.database, "check", options), timeout=seconds + 30.0)

    def backup(
        self,
        kind: BackupType,
        *,
        repository: int = 1,
        annotations: Mapping[str, str] | None = None,
        expire: bool = True,
        timeout: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Take a backup; returns what pgBackRest said. See ``info`` for the result.

        ``on_line`` gets each line as it comes, with how much is done in per cent.
        """
        argv = backup_argv(self.database, kind, repository=repository, annotations=annotations, expire=expire)
        return self.run(argv, timeout=timeout, on_line=on_line)

    def expire(self, repository: int, *, label: str | None = None, dry_run: bool = False) -> Completed:
        """Expire backups and the WAL that only they needed."""
        argv = expire_argv(self.database, repository, label=label, dry_run=dry_run)
        return self.run(argv, timeout=3600.0)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command line of this module's, with nothing of the caller's environment but ``variables``.

        Raises:
            RestoreError: it failed in a way that has a name; the details are its own lines.
            ToolError: it is missing, or did not end in time.
        """
        done = process.run(
            argv,
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(variables or {})},
            timeout=timeout,
            check=False,
            on_line=on_line,
            identity=self.database.identity,
        )
        if check and done.returncode != 0:
            raise failure(self.database, argv, done)
        return done


def failure(database: ProtectedDatabase, argv: Sequence[str], done: Completed) -> RenecError:
    """The error that a failed run of pgBackRest means."""
    command = argv[-1] if argv[-1].isidentifier() or "-" in argv[-1] else "pgbackrest"
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if _ERROR.search(line)), None)
    errors = lines[first:] if first is not None else lines[-5:]
    text = _ERROR.sub("", errors[0]).rstrip(":") if errors else f"exit code {done.returncode}"
    fault = _CLOCK if _LABEL_ORDER in text else _FAULTS.get(done.returncode)
    if fault is not None:
        id_, hint = fault
        return RestoreError(
            id_,
            f"pgBackRest's {command} failed: {text}",
            hint=hint.format(env=database.environment),
            details=tuple(errors[1:8]),
        )
    return ToolError(
        "backup-tool-failed",
        f"pgBackRest's {command} failed with exit code {done.returncode}: {text}",
        hint=f"its log is below {database.work}/log",
        details=tuple(errors[1:8]),
    )
