"""The Python that services run on: ours if the service user can execute it, or one built for it.

A virtual environment below root's home is closed to the unprivileged user that services run as when root
starts them; then one with the same packages lies under /var/lib/renecinfra/python.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from renecinfra import process
from renecinfra.errors import ToolError
from renecinfra.services.access import EXECUTE, READ, permits, reachable
from renecinfra.workspace import ServiceUser

SYSTEM_PYTHON = Path("/usr/bin/python3")
ROOT = Path("/var/lib/renecinfra/python")
_OLDEST = (3, 11)
_BUILD_SECONDS = 900


def host_python(user: ServiceUser) -> str:
    """The interpreter that services run on; looks only, in a few milliseconds.

    Raises:
        ToolError: there is none yet that ``user`` can execute and that has the ``services`` extra.
    """
    if can_use_ours(user):
        return sys.executable
    if not user.switched:
        raise ToolError(
            "services-extra-missing",
            f"{sys.executable} lacks {', '.join(_lacking())}, which local services need",
            hint="run `pip install 'renecinfra[services]'` in the same environment",
        )
    built = _built_directory()
    if _is_complete(built):
        return str(built / "bin" / "python")
    raise ToolError(
        "services-python-missing",
        f"the services' Python is not installed, and {user.name} cannot use {sys.executable}",
        hint="run `renecinfra doctor --install`, which builds one under /var/lib/renecinfra/python",
    )


def can_use_ours(user: ServiceUser) -> bool:
    """Whether ``user`` can run services on the interpreter that runs this."""
    if _lacking():
        return False
    if not user.switched:
        return True
    needed = [
        (Path(sys.executable), READ | EXECUTE),
        (Path(sysconfig.get_path("stdlib")) / "os.py", READ),
    ]
    if sys.prefix != sys.base_prefix:
        needed.append((Path(sys.prefix) / "pyvenv.cfg", READ))
    packages = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    needed += [(directory, READ | EXECUTE) for directory in packages]
    if not all(reachable(path, user.uid, user.gid, need) for path, need in needed):
        return False
    # Packages installed under a umask of 077 are closed one by one, not at the top.
    return all(
        permits(entry.stat(), user.uid, user.gid, READ | EXECUTE)
        for directory in packages
        for entry in directory.iterdir()
        if entry.is_dir()
    )


def requirements() -> tuple[str, ...]:
    """The ``services`` extra as our own package's metadata states it, sorted."""
    declared = importlib.metadata.requires("renecinfra") or []
    suffix = re.compile(r"""\s*;\s*extra\s*==\s*['"]services['"]\s*$""")
    return tuple(sorted(suffix.sub("", line) for line in declared if suffix.search(line)))


def build(note: Callable[[str], None]) -> str:
    """Build the services' Python under /var/lib/renecinfra/python unless it is there; returns its path.

    It is made in its final place, because its scripts name that, and counts only with the mark that is
    written last: one that was interrupted is made anew.

    Raises:
        ToolError: the system's Python is too old or lacks venv, or the packages cannot be installed.
    """
    check_system_python()
    target = _built_directory()
    with _build_lock(), _world_readable():
        if not _is_complete(target):
            note(f"building the services' Python in {target}")
            shutil.rmtree(target, ignore_errors=True)
            _run([str(SYSTEM_PYTHON), "-I", "-m", "venv", str(target)])
            pip = [str(target / "bin" / "python"), "-I", "-m", "pip", "--no-input"]
            _run([*pip, "--disable-pip-version-check", "install", "--quiet", *requirements()])
            _mark(target).write_text("\n".join(requirements()) + "\n", encoding="utf-8")
    return str(target / "bin" / "python")


def check_system_python() -> None:
    """Refuse a system Python that is not there or too old to build from.

    Raises:
        ToolError: /usr/bin/python3 is missing or older than 3.11.
    """
    version = system_python_version()
    if version is None or version < _OLDEST:
        found = ".".join(map(str, version)) if version else "missing"
        raise ToolError(
            "system-python-unsuitable",
            f"{SYSTEM_PYTHON} must be 3.11 or later to build the services' Python; it is {found}",
            hint="use Debian 12 or later, or make renecinfra's own environment readable for the service user",
        )


def system_python_version() -> tuple[int, int] | None:
    """Major and minor of /usr/bin/python3, from what its link leads to; None without one."""
    match = re.fullmatch(r"python(\d+)\.(\d+)", SYSTEM_PYTHON.resolve().name)
    return (int(match[1]), int(match[2])) if match and SYSTEM_PYTHON.exists() else None


def system_venv_present() -> bool:
    """Whether the system's Python can make virtual environments: Debian packages that by itself."""
    version = system_python_version()
    if version is None:
        return False
    return Path(f"/usr/lib/python{version[0]}.{version[1]}/ensurepip/__init__.py").is_file()


def _lacking() -> list[str]:
    """The distributions of the ``services`` extra that this interpreter does not have."""
    names = [re.split(r"[\[<>=!~ ;]", requirement, maxsplit=1)[0] for requirement in requirements()]
    return [name for name in names if not _has(name)]


def _has(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _built_directory() -> Path:
    """One per list of requirements and system Python, so that an upgrade never changes one in use."""
    version = system_python_version() or (0, 0)
    text = "\n".join([f"python {version[0]}.{version[1]}", *requirements()])
    return ROOT / hashlib.sha256(text.encode()).hexdigest()[:12]


def _mark(directory: Path) -> Path:
    return directory / "renecinfra-requirements.txt"


def _is_complete(directory: Path) -> bool:
    return _mark(directory).is_file() and (directory / "bin" / "python").exists()


@contextmanager
def _build_lock() -> Iterator[None]:
    ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (ROOT / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _world_readable() -> Iterator[None]:
    """Root's umask may be 077; what is built here is for another user, and holds no secret."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _run(argv: list[str]) -> None:
    # The caller's own virtual environment must not reach into the new one.
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    result = process.run(argv, env=inherited, timeout=_BUILD_SECONDS, check=False)
    if result.returncode != 0:
        output = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise ToolError(
            "services-python-failed",
            "the services' Python cannot be built",
            hint="check that the Python package index is reachable (pip's own settings apply), then repeat",
            details=tuple(output[-10:]),
        )
