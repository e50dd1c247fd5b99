"""Installing what the local platform needs on Debian: packages, the service user, the services' Python.

No system service is started or left enabled and no system database cluster is made: the environments run
their own processes from the packages' programs.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from renecinfra import process
from renecinfra.errors import ToolError
from renecinfra.process import Completed
from renecinfra.services import binaries, interpreter
from renecinfra.services.interpreter import host_python
from renecinfra.workspace import service_user

__all__ = ["host_python", "install"]

# What invoke-rc.d and deb-systemd-invoke ask before they start a service (policy-rc.d(8), exit 101: denied).
_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_MARK = "# renecinfra: no service is started while it installs packages"
# postgresql-common reads it before it makes a cluster for a newly installed server (pg_createcluster(1)).
_CLUSTER_POLICY = Path("/etc/postgresql-common/createcluster.d/renecinfra.conf")
_PACKAGE_LISTS = Path("/var/lib/apt/lists")
_LISTS_FRESH_SECONDS = 24 * 3600
_APT_SECONDS = 1800

Note = Callable[[str], None]


def install(note: Note, *, user: str = "renecinfra", postgresql_version: int | None = None) -> None:
    """Install whatever is missing; does nothing, quickly, when nothing is.

    As root it installs Debian packages, makes the system user ``user``, and builds the services' Python if
    that user cannot use ours. ``note`` is told each thing that is done.

    Raises:
        ToolError: not root and something is missing (the hint is the one command that installs it), the
            system is not Debian's kind, or a package source cannot be reached.
    """
    packages = list(binaries.search(postgresql_version=postgresql_version).packages)
    if os.geteuid() != 0:
        _require_nothing(packages)
        host_python(service_user(user))
        return
    _ensure_user(user, note)
    ours = interpreter.can_use_ours(service_user(user))
    if not ours:
        interpreter.check_system_python()
        if not interpreter.system_venv_present():
            packages.append("python3-venv")
    if packages:
        _install_packages(packages, note)
        binaries.find(postgresql_version=postgresql_version)
    if not ours:
        interpreter.build(note)


def _require_nothing(packages: Sequence[str]) -> None:
    if packages:
        # -B: root must not leave its byte code in a clone that belongs to the caller.
        command = shlex.join(["sudo", sys.executable, "-B", "-m", "renecinfra", "doctor", "--install"])
        raise ToolError(
            "root-needed",
            f"{', '.join(packages)} must be installed, which takes root",
            hint=f"run `{command}`",
        )


def _ensure_user(name: str, note: Note) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        note(f"making the system user {name}")
        argv = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        result = process.run([*argv, "--shell", "/usr/sbin/nologin", name], check=False)
        # 9: it exists by now, made by another run.
        if result.returncode not in (0, 9):
            raise ToolError(
                "service-user-failed",
                f"the system user {name} cannot be made",
                hint=f"make it with `useradd --system {name}`, then repeat",
                details=_tail(result),
            ) from None


def _install_packages(packages: Sequence[str], note: Note) -> None:
    if shutil.which("apt-get") is None:
        raise ToolError(
            "apt-missing",
            "this machine has no apt-get: only Debian and its kind are installed automatically",
            hint=f"install what these Debian packages bring: {' '.join(packages)}",
        )
    fresh = _lists_are_fresh()
    if not fresh:
        note("updating the list of packages")
        _apt("update")
    note(f"installing {' '.join(packages)}")
    with _services_stay_off():
        try:
            _apt("install", *packages)
        except ToolError:
            if not fresh:
                raise
            # A list of today may still name versions that the mirror has replaced since.
            _apt("update")
            _apt("install", *packages)
    _disable(packages)


def _apt(action: str, *packages: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    options = ["--yes", "--no-install-recommends"] if action == "install" else []
    # Another apt-get, say of unattended upgrades, holds the lock for minutes at most.
    argv = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=300", action, *options, *packages]
    result = process.run(argv, env=environment, timeout=_APT_SECONDS, check=False)
    if result.returncode != 0:
        raise ToolError(
            "apt-failed",
            f"`apt-get {action}` failed with exit code {result.returncode}",
            hint="check that the machine reaches its package mirror (/etc/apt/sources.list), then repeat",
            details=_tail(result),
        )


def _lists_are_fresh() -> bool:
    """Whether package lists are there and apt looked for newer ones within a day."""
    # A list's own time is the mirror's; that of the last look is on the directory for partial files.
    partial = _PACKAGE_LISTS / "partial"
    if not partial.is_dir() or not any(_PACKAGE_LISTS.glob("*_Packages*")):
        return False
    return time.time() - partial.stat().st_mtime < _LISTS_FRESH_SECONDS


@contextmanager
def _services_stay_off() -> Iterator[None]:
    """While packages are installed, start no service and make no database cluster."""
    with ExitStack() as undo:
        if not _POLICY.exists() or _POLICY_MARK in _POLICY.read_text(errors="replace"):
            # Should we be killed, the file denies nothing any more: it asks for the process that wrote it.
            script = f"#!/bin/sh\n{_POLICY_MARK}\nkill -0 {os.getpid()} 2>/dev/null && exit 101\nexit 0\n"
            undo.callback(_POLICY.unlink, missing_ok=True)
            _POLICY.write_text(script)
            _POLICY.chmod(0o755)
        _CLUSTER_POLICY.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        undo.callback(_CLUSTER_POLICY.unlink, missing_ok=True)
        _CLUSTER_POLICY.write_text("create_main_cluster = false\n")
        yield


def _disable(packages: Sequence[str]) -> None:
    """Keep the services of the packages that were just installed from starting at the next boot.

    Their units are named like the packages. PostgreSQL's starts clusters, of which there is none.
    """
    if shutil.which("systemctl") is None:
        return
    skipped = ("postgresql", "python3", "redis-tools")
    units = [f"{package}.service" for package in packages if not package.startswith(skipped)]
    result = process.run(["systemctl", "--quiet", "disable", *units], check=False) if units else None
    if result is not None and result.returncode != 0:
        raise ToolError(
            "service-not-disabled",
            "the packages are installed, but their system services still start at the next boot",
            hint=f"run `systemctl disable {' '.join(units)}`",
            details=_tail(result),
        )


def _tail(result: Completed) -> tuple[str, ...]:
    """The end of what a failed command printed."""
    lines = [line for line in (*result.stdout.splitlines(), *result.stderr.splitlines()) if line.strip()]
    return tuple(lines[-10:])
