"""Where things are: the project's directories, and one environment's state.

A workspace is the nearest directory upwards that has ``environments/``. ``templates/`` and
``terraform/`` come from it too, or from the installed package where the workspace has none of its own.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from renecinfra.errors import ToolError

_ASSETS = Path(__file__).parent / "_assets"
# A unix socket's path may have 107 bytes on Linux (unix(7)); the longest name under run/ takes 25.
_SOCKET_PATH_MAX = 80


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """The user that local services run as: the caller, or an unprivileged one when started by root."""

    name: str
    uid: int
    gid: int
    switched: bool


def service_user(name: str) -> ServiceUser:
    """The caller, or user ``name`` when the caller is root.

    Raises:
        ToolError: started by root and there is no such user yet (``renecinfra doctor --install`` makes it).
    """
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid())
        return ServiceUser(me.pw_name, me.pw_uid, me.pw_gid, switched=False)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ToolError(
            "service-user-missing",
            f"there is no user {name}, whom the services run as when renecinfra is started by root",
            hint="run `renecinfra doctor --install`, which makes it",
        ) from None
    return ServiceUser(entry.pw_name, entry.pw_uid, entry.pw_gid, switched=True)


@dataclass(frozen=True)
class EnvironmentPaths:
    """Everything one environment keeps on this machine.

    ``state`` belongs to the caller (0700): build, journal, lock, Terraform's state, secrets.
    ``home`` is what the services see. For an ordinary user it is below ``state``. For root it is under
    /var/lib/renecinfra, because services run as another user, who cannot enter a clone below /root:
    ``home`` and ``etc`` belong to root so that a service cannot plant links there, and only
    ``data``, ``log`` and ``run`` belong to the service user.
    """

    environment: str
    state: Path
    home: Path

    @cached_property
    def build(self) -> Path:
        """What was rendered; holds no secret."""
        return self.state / "build"

    @cached_property
    def terraform(self) -> Path:
        """Terraform's working directory: static HCL, tfvars, .terraform, the local state."""
        return self.state / "terraform"

    @cached_property
    def secrets(self) -> Path:
        """Generated secrets, 0600."""
        return self.state / "secrets.json"

    @cached_property
    def tls(self) -> Path:
        """The local CA and the leaf certificates."""
        return self.state / "tls"

    @cached_property
    def ca(self) -> Path:
        """The CA certificate that clients of the edge trust; public."""
        return self.tls / "ca.crt"

    @cached_property
    def openbao(self) -> Path:
        """What opens the environment's own OpenBao: its seal's key, its credentials, its listener's CA."""
        return self.state / "openbao"

    @cached_property
    def secret_versions(self) -> Path:
        """The version of each secret that was last resolved, by reference; no values."""
        return self.state / "secret-versions.json"

    @cached_property
    def journal(self) -> Path:
        """Who did what and when, one JSON object a line."""
        return self.state / "journal.jsonl"

    @cached_property
    def lock(self) -> Path:
        """The environment's lock file."""
        return self.state / "lock"

    @cached_property
    def etc(self) -> Path:
        """The services' configuration, installed from ``build`` together with their secret files."""
        return self.home / "etc"

    @cached_property
    def data(self) -> Path:
        """The services' data: databases, queues, time series."""
        return self.home / "data"

    @cached_property
    def backups(self) -> Path:
        """Backups, received WAL and what is known of them: beside home, because they outlive it."""
        if self.home.is_relative_to(self.state):
            return self.state / "backups"
        return self.home.with_name(f"{self.home.name}.backups")

    @cached_property
    def backup_key(self) -> Path:
        """The backups' pass phrase, 0600, where the store of secrets dies with the environment."""
        return self.state / "backup.key"

    @cached_property
    def log(self) -> Path:
        """One log file per service."""
        return self.home / "log"

    @cached_property
    def lib(self) -> Path:
        """The Python code that services run, as copied at the last install."""
        return self.home / "lib"

    @cached_property
    def run(self) -> Path:
        """Unix sockets and pid files; short, because a socket's path is limited."""
        path = self.home / "run"
        if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
            return path
        return Path("/tmp") / f"renecinfra-{os.geteuid()}-{_digest(self.home)}"  # noqa: S108 - made 0700


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Workspace:
    """The project that a command works in."""

    root: Path

    @property
    def environments(self) -> Path:
        """The profiles."""
        return self.root / "environments"

    @property
    def templates(self) -> Path:
        """Jinja and verbatim templates; the installed package's where the workspace has none."""
        return self._own_or_installed("templates")

    @property
    def terraform(self) -> Path:
        """Stacks and modules; the installed package's where the workspace has none."""
        return self._own_or_installed("terraform")

    def _own_or_installed(self, name: str) -> Path:
        own = self.root / name
        return own if own.is_dir() else _ASSETS / name

    def paths(self, environment: str) -> EnvironmentPaths:
        """Where ``environment`` keeps its state; makes nothing."""
        state = self.root / ".renecinfra" / environment
        home = state / "home"
        if os.geteuid() == 0:
            home = Path("/var/lib/renecinfra") / f"{environment}-{_digest(self.root)}"
        return EnvironmentPaths(environment, state, home)


def find_workspace(start: Path | None = None) -> Workspace:
    """The workspace around ``start`` (the current directory), or the one that RENECINFRA_WORKSPACE names.

    Raises:
        ToolError: there is none.
    """
    named = os.environ.get("RENECINFRA_WORKSPACE")
    here = Path(named).expanduser().resolve() if named else (start or Path.cwd()).resolve()
    candidates = [here] if named else [here, *here.parents]
    for directory in candidates:
        if (directory / "environments").is_dir():
            return Workspace(directory)
    raise ToolError(
        "no-workspace",
        f"{here} is not in a renecinfra workspace: no environments/ directory here or above",
        hint="change into a clone of renecinfra, or name one with RENECINFRA_WORKSPACE",
    )
