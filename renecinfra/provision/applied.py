"""What the last `up` installed: the version of each secret and the digest of each file. No values.

So that a plan can say which secrets change, and `drift` which files somebody else changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from renecinfra.rendering import Bundle, write_atomically
from renecinfra.workspace import EnvironmentPaths

_MODE: Final = 0o600
_SERVICES: Final = "services/"
_T = TypeVar("_T", int, str)


def _file(paths: EnvironmentPaths) -> Path:
    return paths.state / "applied.json"


def remember(paths: EnvironmentPaths, versions: Mapping[str, int], bundle: Bundle) -> None:
    """Record what was installed."""
    files = {
        path.removeprefix(_SERVICES): _digest(file.text.encode(), file.mode)
        for path, file in bundle.items()
        if path.startswith(_SERVICES)
    }
    text = json.dumps({"secrets": dict(versions), "files": files}, indent=1, sort_keys=True)
    paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(_file(paths), text, _MODE)


def digest(path: Path) -> str:
    """Of a file that is there, as :func:`files` has it."""
    return _digest(path.read_bytes(), path.stat().st_mode & 0o777)


def _digest(content: bytes, mode: int) -> str:
    return hashlib.sha256(f"{mode:o}\n".encode() + content).hexdigest()


def files(paths: EnvironmentPaths) -> dict[str, str] | None:
    """The digest of each installed file by its path below etc/; None where it is not known."""
    return _read(paths, "files", str)


def applied(paths: EnvironmentPaths) -> dict[str, int] | None:
    """The version of each secret that was installed last; None where that is not known."""
    return _read(paths, "secrets", int)


def _read(paths: EnvironmentPaths, part: str, kind: type[_T]) -> dict[str, _T] | None:
    try:
        found = json.loads(_file(paths).read_text(encoding="utf-8"))[part]
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None
    return {str(name): value for name, value in found.items() if isinstance(value, kind)}


def forget(paths: EnvironmentPaths) -> None:
    """The environment is gone."""
    _file(paths).unlink(missing_ok=True)
