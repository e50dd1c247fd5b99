"""The broker's append-only file, copied into each repository: tasks that were queued, and not yet done.

Redis appends and never rewrites in place, and its manifest names the files that count, so a copy is whole
when the manifest did not change meanwhile; a record that is cut off at the end Redis leaves out when it
loads the file. The copy is a tar file, encrypted by pgBackRest like everything else that is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import RestoreError
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.repository import PgBackRest, base_argv

DIRECTORY: Final = "appendonlydir"
_MANIFEST: Final = "appendonly.aof.manifest"
_STAMP: Final = "%Y%m%d-%H%M%S"
_SECONDS: Final = 1800.0
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class BrokerCopy:
    """One copy in one repository; ``size`` in bytes."""

    name: str
    repository: int
    at: datetime
    size: int

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "name": self.name,
            "repository": self.repository,
            "at": self.at.isoformat(),
            "size": self.size,
        }


def copy(tool: PgBackRest) -> str | None:
    """Copy the broker's file into every repository; the copy's name, None where there is no broker to copy.

    Raises:
        RestoreError: the file is rewritten again and again, or a repository does not take the copy.
    """
    database = tool.database
    if not database.broker:
        return None
    files, source = OwnedFiles(database.identity), Path(database.broker) / DIRECTORY
    if files.read(source / _MANIFEST) is None:
        return None
    name = datetime.now(UTC).strftime(_STAMP)
    packed = Path(database.work) / f"broker-{name}.tar"
    try:
        _pack(database, files, source, packed)
        for place in database.repositories:
            argv = base_argv(database, "repo-put", [f"--repo={place.number}"])
            path = f"{_folder(database)}/{name}.tar"
            redirected = ["/bin/sh", "-c", 'exec "$@" <"$0"', str(packed), *argv, path]
            tool.run(redirected, timeout=_SECONDS)
    finally:
        files.remove(packed)
    return name


def _pack(database: ProtectedDatabase, files: OwnedFiles, source: Path, packed: Path) -> None:
    for _ in range(_TRIES):
        before = files.read(source / _MANIFEST)
        # 1: a file grew while it was read, which is what an append-only file does.
        done = files.run("tar", "-cf", str(packed), "-C", str(source.parent), DIRECTORY, check=False)
        if done.returncode <= 1 and before is not None and files.read(source / _MANIFEST) == before:
            return
    raise RestoreError(
        "broker-copy-failed",
        f"the broker's append-only file of {database.environment} cannot be copied whole",
        hint=f"look at `renecinfra logs {database.environment} redis-broker`",
    )


def _folder(database: ProtectedDatabase) -> str:
    return f"broker/{database.stanza}"


def copies(tool: PgBackRest) -> list[BrokerCopy]:
    """Every copy, the oldest first.

    Raises:
        RenecError: a repository cannot be read.
    """
    found = []
    for place in tool.database.repositories:
        argv = base_argv(tool.database, "repo-ls", [f"--repo={place.number}", "--output=json"])
        argv = [word for word in argv if not word.startswith("--stanza=")]
        listed = tool.run([*argv, _folder(tool.database)], timeout=_SECONDS).stdout
        for name, entry in json.loads(listed or "{}").items():
            if entry["type"] == "file" and name.endswith(".tar"):
                found.append(_copy(name.removesuffix(".tar"), place.number, entry))
    return sorted(found, key=lambda one: (one.at, one.repository))


def _copy(name: str, repository: int, entry: Mapping[str, Any]) -> BrokerCopy:
    at = datetime.strptime(name, _STAMP).replace(tzinfo=UTC)
    return BrokerCopy(name, repository, at, int(entry["size"]))


def fetch(tool: PgBackRest, wanted: BrokerCopy, target: Path) -> None:
    """Bring a copy out of its repository into the file ``target``.

    Raises:
        RestoreError: it cannot be read, or the pass phrase is not the one that it was made with.
    """
    argv = base_argv(tool.database, "repo-get", [f"--repo={wanted.repository}"])
    path = f"{_folder(tool.database)}/{wanted.name}.tar"
    redirected = ["/bin/sh", "-c", 'umask 077; exec "$@" >"$0"', str(target), *argv, path]
    # For files of its own pgBackRest knows which key is theirs; for others it wants to be told.
    variables = {"PGBACKREST_CIPHER_PASS": _pass_phrase(tool.database, wanted.repository)}
    tool.run(redirected, timeout=_SECONDS, variables=variables)
    done = OwnedFiles(tool.database.identity).run("tar", "-tf", str(target), check=False)
    if done.returncode != 0 or f"{DIRECTORY}/{_MANIFEST}" not in done.stdout.splitlines():
        raise RestoreError(
            "broker-copy-corrupt",
            f"the broker's copy {wanted.name} in repository {wanted.repository} is damaged",
            hint="take an older one, or the one in the other repository",
        )


def _pass_phrase(database: ProtectedDatabase, repository: int) -> str:
    text = OwnedFiles(database.identity).read(Path(database.secrets) / "keys.conf") or ""
    prefix = f"repo{repository}-cipher-pass="
    return next((line.removeprefix(prefix) for line in text.splitlines() if line.startswith(prefix)), "")


def expire(tool: PgBackRest, now: datetime) -> int:
    """Remove copies that are older than the retention, but never the newest; how many went.

    Raises:
        RenecError: a repository cannot be written.
    """
    kept = copies(tool)
    newest = {one.repository: one for one in kept}
    limit = now - timedelta(seconds=tool.database.policy.retention)
    old = [one for one in kept if one.at < limit and newest[one.repository] is not one]
    for one in old:
        argv = base_argv(tool.database, "repo-rm", [f"--repo={one.repository}"])
        tool.run([*argv, f"{_folder(tool.database)}/{one.name}.tar"], timeout=_SECONDS)
    return len(old)
