"""Whether a stack's ``.terraform`` is that of its files and its binary, so that ``init`` can be left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from renecinfra.terraform.binary import TerraformBinary

DATA = ".terraform"
_STAMP = "renecinfra-init"
_MODULES = "modules/modules.json"


def is_current(directory: Path, binary: TerraformBinary) -> bool:
    """Whether the last ``init`` here ended well, by this binary, for the files that are here now."""
    stamp = directory / DATA / _STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _digest(directory, binary)


def forget(directory: Path) -> None:
    """Have the next ``init`` run; before an init, so that one that is cut off does not count."""
    (directory / DATA / _STAMP).unlink(missing_ok=True)


def remember(directory: Path, binary: TerraformBinary) -> None:
    """The ``init`` that just ran ended well."""
    data = directory / DATA
    data.mkdir(exist_ok=True)
    (data / _STAMP).write_text(_digest(directory, binary), encoding="utf-8")


def _digest(directory: Path, binary: TerraformBinary) -> str:
    """A hash of all that ``init`` reads: configuration of the stack and its local modules, provider locks."""
    parts: list[object] = [binary.argv, binary.version]
    parts += [
        [path.relative_to(directory).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()]
        for path in sorted(
            {directory / ".terraform.lock.hcl", *directory.glob("*.tf"), *directory.glob("*.tf.json")}
        )
        if path.is_file()
    ]
    parts += [
        [str(path), hashlib.sha256(path.read_bytes()).hexdigest()]
        for module in _modules(directory)
        for path in sorted([*module.glob("*.tf"), *module.glob("*.tf.json")])
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _modules(directory: Path) -> Iterator[Path]:
    """The directories of the modules that the last ``init`` found, the stack itself left out."""
    index = directory / DATA / _MODULES
    if not index.is_file():
        return
    for module in json.loads(index.read_text(encoding="utf-8")).get("Modules", []):
        if module.get("Key"):
            yield directory / module["Dir"]
