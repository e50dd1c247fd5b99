"""The key that saved plans are signed with: from RENECINFRA_PLAN_KEY, or the workspace's own file."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from renecinfra.errors import ToolError
from renecinfra.redaction import redactor
from renecinfra.sensitive import Secret

VARIABLE: Final = "RENECINFRA_PLAN_KEY"
_SHORTEST: Final = 32


def plan_key(root: Path, environ: Mapping[str, str], *, create: bool) -> Secret:
    """The key; ``create`` makes the file where there is none.

    Raises:
        ToolError: there is none, it is too short, or others can read its file.
    """
    given = environ.get(VARIABLE)
    key = Secret(given) if given else _from_file(root / ".renecinfra" / "plan-key", create=create)
    redactor.register(key)
    if len(key.reveal()) < _SHORTEST:
        raise ToolError(
            "plan-key-weak",
            f"the key for saved plans has fewer than {_SHORTEST} characters",
            hint="make one with `openssl rand -hex 32`",
        )
    return key


def _from_file(path: Path, *, create: bool) -> Secret:
    if create and not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            pass  # another run made it meanwhile
        else:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))
    try:
        found = path.lstat()
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise ToolError(
            "plan-key-missing",
            "there is no key here to check a saved plan with",
            hint=f"`plan --out` makes one for its workspace; on another machine give both {VARIABLE}",
        ) from None
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_uid != os.geteuid():
        raise ToolError(
            "plan-key-exposed",
            f"{path} is a link, belongs to another user, or can be read by others",
            hint="delete it, and plan again: whoever could read it can sign plans",
        )
    return Secret(text)
