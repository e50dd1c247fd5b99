"""Whether this machine can run an environment: everything looked at, with what to do about what is wrong.

Looks only; ``services.installation`` installs. Every finding is in the answer, passed or not, so that a
report of it says what the machine is like.
"""

from __future__ import annotations

import locale
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from renecinfra import process
from renecinfra.errors import RenecError
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform, LocalPlatform
from renecinfra.profiles.ports import listeners
from renecinfra.services import binaries, interpreter
from renecinfra.workspace import EnvironmentPaths, ServiceUser, Workspace, service_user

if TYPE_CHECKING:
    from renecinfra.kubernetes.tools import Tool

# A whole environment took 442 MiB with little data in it; disk is for its data, logs and packages.
_MEMORY_BYTES = 700 * 1024**2
_DISK_BYTES = 2 * 1024**3
# supervisord, nginx and both Redis keep a descriptor per client; Redis alone is allowed 500 clients.
_OPEN_FILES = 4096
# sockaddr_un.sun_path has 108 bytes with the final zero (unix(7)); PostgreSQL's name is the longest.
_SOCKET_PATH_BYTES = 107
_LONGEST_SOCKET = ".s.PGSQL.65535.lock"
_VERSION_SECONDS = 10
_DEFAULT_USER = "renecinfra"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``hint`` says what to do, where it is not ``ok``.

    One that is not ``required`` is worth knowing and stops nothing.
    """

    name: str
    ok: bool
    detail: str
    hint: str | None = None
    required: bool = True


def examine(workspace: Workspace | None, profile: Profile | None) -> list[Finding]:
    """Look at the machine, and with a ``profile`` that runs on it, at what that one needs of it.

    Takes well under a second; programs are asked for their versions at the same time.
    """
    local = profile.platform if profile and isinstance(profile.platform, LocalPlatform) else None
    if profile is not None and isinstance(profile.platform, KubernetesPlatform):
        # Nothing of it runs here: what it takes are the tools to reach it with.
        return [_python(), *_cluster_tools(), _context(profile.platform), _clock()]
    findings = [
        _python(),
        _terraform(),
        *_programs(profile),
    ]
    wants_openbao = local is not None and profile is not None and profile.secrets.provider == "openbao"
    findings += _services_python(local, openbao=wants_openbao)
    findings += [_memory(), _disk(workspace), _open_files(), _locale(), _clock()]
    if workspace is not None and profile is not None and local is not None:
        paths = workspace.paths(profile.environment)
        wanted = {listener.name: listener.port for listener in listeners(profile)}
        findings += [_socket_path(paths), _ports(wanted, paths)]
    return findings


def _judge(name: str, ok: bool, detail: str, hint: str, *, required: bool = True) -> Finding:
    """A finding whose ``hint`` is only for when it is not ``ok``."""
    return Finding(name, ok, detail, None if ok else hint, required)


def _attempt(name: str, look: Callable[[], str]) -> Finding:
    """A finding from something that says what it found or raises one of our errors."""
    try:
        return Finding(name, True, look())
    except RenecError as error:
        more = f" (and {len(error.details)} more)" if error.id == "port-taken" and error.details else ""
        return Finding(name, False, error.message + more, error.hint)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return _judge("python", sys.version_info >= (3, 11), f"{version} ({sys.executable})", "use 3.11 or later")


def _terraform() -> Finding:
    def look() -> str:
        from renecinfra.terraform.binary import find_terraform

        binary = find_terraform(os.environ)
        return f"{binary.flavour} {binary.version} ({' '.join(binary.argv)})"

    return _attempt("terraform", look)


def _cluster_tools() -> Iterator[Finding]:
    """What a cluster is worked on with."""
    from renecinfra.kubernetes import tools

    for name, find in (("helm", tools.find_helm), ("kubectl", tools.find_kubectl)):
        yield _attempt(name, partial(_shown, find))


def _shown(find: Callable[[Mapping[str, str]], Tool]) -> str:
    tool = find(os.environ)
    return f"{'.'.join(map(str, tool.version))} ({tool.path})"


def _context(platform: KubernetesPlatform) -> Finding:
    """Whether the kubeconfig has the profile's cluster; asks no cluster."""

    def look() -> str:
        from renecinfra.kubernetes.cluster import Cluster
        from renecinfra.kubernetes.tools import Target, find_tools
        from renecinfra.platforms.kubernetes.preflight import require_context

        require_context(Cluster(find_tools(), Target(platform.context)))
        return f"{platform.context} is in the kubeconfig"

    return _attempt("context", look)


def _programs(profile: Profile | None) -> Iterator[Finding]:
    """Each program: where it is, and whether its version will do."""
    wanted = profile.database.version if profile else None
    result = binaries.search(postgresql_version=wanted)
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield from pool.map(lambda item: _program(*item), result.found.items())
    command = binaries.apt_command(result.packages)
    for program in result.missing:
        hint = f"run `renecinfra doctor --install`, or `{command}`"
        yield Finding(program.name, False, "not installed", hint)


def _program(name: str, path: str) -> Finding:
    program = binaries.OPENBAO if name == binaries.OPENBAO.name else binaries.PROGRAMS[name]
    needed = ".".join(map(str, program.minimum))
    try:
        # Nothing of our environment: a variable such as PGDATA must not change what it prints.
        done = process.run(
            [path, *program.version_arguments],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except RenecError as error:
        return Finding(name, False, error.message, error.hint)
    version = program.parse_version(done.stdout + done.stderr)
    if version is None:
        return Finding(name, False, f"{path} does not tell its version", f"reinstall {program.package}")
    shown = ".".join(map(str, version))
    hint = f"version {needed} or later is needed: upgrade {program.package}"
    return _judge(name, version >= program.minimum, f"{shown} ({path})", hint)


def _services_python(local: LocalPlatform | None, *, openbao: bool = False) -> Iterator[Finding]:
    """The user and the interpreter of the services, and with ``openbao`` the server that comes with it."""
    name = local.user if local else _DEFAULT_USER
    try:
        user = service_user(name)
    except RenecError as error:
        yield Finding("service user", False, error.message, error.hint)
        return
    yield Finding("service user", True, f"{user.name} (uid {user.uid})")
    yield _attempt("services' python", lambda: interpreter.host_python(user))
    if openbao:
        yield _openbao(user)


def _openbao(user: ServiceUser) -> Finding:
    """OpenBao comes with the services' Python, and without that there is none to look in."""
    try:
        path = binaries.find_openbao(interpreter.host_python(user), user)
    except RenecError as error:
        return Finding(binaries.OPENBAO.name, False, error.message, error.hint)
    return _program(binaries.OPENBAO.name, path)


def _memory() -> Finding:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    detail = f"{available // 1024**2} MiB available"
    hint = f"a whole environment needs about {_MEMORY_BYTES // 1024**2} MiB"
    return _judge("memory", available >= _MEMORY_BYTES, detail, hint)


def _disk(workspace: Workspace | None) -> Finding:
    """The tighter of the file systems of the clone and, for root, of /var/lib."""
    places = [workspace.root if workspace else Path.cwd()]
    if os.geteuid() == 0:
        places.append(Path("/var/lib"))
    free, place = min((shutil.disk_usage(place).free, str(place)) for place in places)
    detail = f"{free / 1024**3:.1f} GiB free at {place}"
    return _judge("disk", free >= _DISK_BYTES, detail, f"free {_DISK_BYTES // 1024**3} GiB or more")


def _open_files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    detail = "unlimited" if unlimited else f"{hard} per process"
    hint = f"raise the hard limit to {_OPEN_FILES} in /etc/security/limits.conf"
    return _judge("open files", unlimited or hard >= _OPEN_FILES, detail, hint)


def _locale() -> Finding:
    """Services run under C.UTF-8; a database cluster made without it would sort and compare bytes."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return Finding("locale", False, "C.UTF-8 is not there", "install the package libc-bin or locales")
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return Finding("locale", True, "C.UTF-8")


def _clock() -> Finding:
    """A clock behind our own files is wrong: certificates made now would not be valid elsewhere."""
    now = time.time()
    ok = now >= Path(__file__).stat().st_mtime
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    hint = "set the clock, say with `timedatectl set-ntp true`; it is behind renecinfra's own files"
    return _judge("clock", ok, shown, hint, required=False)


def _socket_path(paths: EnvironmentPaths) -> Finding:
    length = len(os.fsencode(paths.run / _LONGEST_SOCKET))
    detail = f"{length} of {_SOCKET_PATH_BYTES} bytes ({paths.run})"
    return _judge("socket paths", length <= _SOCKET_PATH_BYTES, detail, "clone into a shorter path")


def _ports(wanted: Mapping[str, int], paths: EnvironmentPaths) -> Finding:
    def look() -> str:
        from renecinfra.services.ports import require_free

        require_free(wanted, paths)
        return f"{min(wanted.values())} to {max(wanted.values())}: free, or held by this environment"

    return _attempt("ports", look)
