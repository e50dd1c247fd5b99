"""Bring an environment's home to what was rendered: directories, configuration, secret files, our code.

When root does this, what it writes belongs to root in directories that belong to root, so that a service,
which runs as another user, can neither change its configuration nor plant a link for root to follow.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from renecinfra.agents.home import AgentError, load_home, manifests
from renecinfra.agents.lifecycle import loaded_path
from renecinfra.errors import ToolError
from renecinfra.platforms.local.host import Host
from renecinfra.rendering import Bundle, RenderedFile, write_atomically
from renecinfra.services.manifest import library

_PREFIX = "services/"


@dataclass(frozen=True, slots=True)
class Installed:
    """What an install did: paths below ``etc/`` that changed, and services that have yet to read theirs.

    ``reload`` also names what an earlier, interrupted run installed and did not reload. A service that is
    restarted anyway drops out of it by that: ask :func:`pending_reloads` again after the apply.
    """

    changed: tuple[str, ...]
    reload: tuple[str, ...]


def install(bundle: Bundle, secret_files: Mapping[str, str], host: Host, *, prune: bool = True) -> Installed:
    """Copy the bundle's ``services/`` to ``etc/``, write the secret files, and prune what is stale.

    Without ``prune`` what is not named stays: for one service that others wait for.

    Secret files are 0600 and the service user's; their paths are below ``etc/`` (``pgbouncer/userlist.txt``).

    Raises:
        ToolError: a directory on the way is a link, or belongs to someone whom it should not belong to.
    """
    paths = host.paths
    _check_way(host)
    _directory(paths.home, host, mode=0o710 if host.user.switched else 0o700)
    _directory(paths.home / "locks", host, mode=0o700)
    for private in (paths.data, paths.log, paths.run, paths.backups):
        _service_directory(private, host)
    files = {path.removeprefix(_PREFIX): file for path, file in bundle.items() if path.startswith(_PREFIX)}
    _sync(library(), {}, paths.lib, host)
    changed = _sync(files, secret_files, paths.etc, host, prune=prune)
    return Installed(tuple(changed), pending_reloads(host))


def pending_reloads(host: Host) -> tuple[str, ...]:
    """Services that run with older reloadable files than are installed."""
    try:
        home = load_home(host.paths.home)
        installed = [manifest for manifest in manifests(home.path) if manifest.reload_digest]
    except AgentError:
        return ()
    loaded = {manifest.name: loaded_path(home, manifest.name) for manifest in installed}
    return tuple(
        manifest.name
        for manifest in installed
        if (path := loaded[manifest.name]).exists() and path.read_text() != manifest.reload_digest
    )


def _check_way(host: Host) -> None:
    """For root every directory down to home; otherwise those that we make."""
    home, state = host.paths.home, host.paths.state
    for directory in reversed([home, *home.parents]):
        if not host.user.switched and not directory.is_relative_to(state.parent):
            continue
        if not directory.is_symlink() and not directory.exists():
            directory.mkdir(mode=0o700)
            if host.user.switched:
                directory.chmod(0o755)  # whatever root's umask: the service user passes through
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise _unsafe(directory, "is not a directory" if not directory.is_symlink() else "is a link")
        if found.st_uid not in (0, os.geteuid()):
            raise _unsafe(directory, f"belongs to uid {found.st_uid}")
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if host.user.switched and shared and not found.st_mode & stat.S_ISVTX:
            raise _unsafe(directory, "can be written by others")


def _unsafe(directory: Path, why: str) -> ToolError:
    return ToolError(
        "unsafe-directory",
        f"{directory} {why}, so services' files are not put there",
        hint="look who made it; when it is not needed, remove it and run the command again",
    )


def _directory(path: Path, host: Host, mode: int) -> None:
    """A directory of the caller's; the service user's group may enter it where the mode says so."""
    if not path.is_symlink() and not path.exists():
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise _unsafe(path, "is a link or belongs to someone else")
    if host.user.switched and found.st_gid != host.user.gid:
        os.chown(path, 0, host.user.gid, follow_symlinks=False)
    if stat.S_IMODE(found.st_mode) != mode:
        path.chmod(mode)


def _service_directory(path: Path, host: Host) -> None:
    """A directory that the service user alone may enter. Root looks at nothing inside it."""
    if not path.is_symlink() and not path.exists():
        path.mkdir(mode=0o700)
        if host.user.switched:
            os.chown(path, host.user.uid, host.user.gid, follow_symlinks=False)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise _unsafe(path, "is not a directory")
    if found.st_uid == 0 and host.user.switched and not any(path.iterdir()):
        os.chown(path, host.user.uid, host.user.gid, follow_symlinks=False)  # an install was interrupted
    elif found.st_uid != host.user.uid:
        raise _unsafe(path, f"belongs to uid {found.st_uid} and not to {host.user.name}")
    if stat.S_IMODE(found.st_mode) != 0o700:
        raise _unsafe(path, "can be entered by others")


def _sync(
    files: Bundle, secrets: Mapping[str, str], root: Path, host: Host, *, prune: bool = True
) -> list[str]:
    """Bring one tree to its files; which of them were added, changed or removed."""
    mode = 0o750 if host.user.switched else 0o700
    wanted = {**files, **{path: RenderedFile(text, 0o600) for path, text in secrets.items()}}
    for directory in sorted({parent for path in wanted for parent in (root / path).parents}):
        if directory.is_relative_to(root):
            _directory(directory, host, mode)
    owner = (os.geteuid(), host.user.gid) if host.user.switched else (host.user.uid, host.user.gid)
    changed = []
    for path, file in sorted(wanted.items()):
        uid = host.user.uid if path in secrets else owner[0]
        if not _is_current(root / path, file, uid):
            _write(root / path, file, (uid, owner[1]), host)
            changed.append(path)
    return changed + (list(_prune(root, wanted)) if prune else [])


def _is_current(target: Path, file: RenderedFile, uid: int) -> bool:
    try:
        found = target.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) != file.mode:
            return False
        return target.read_bytes() == file.text.encode()
    except FileNotFoundError:
        return False


def _write(target: Path, file: RenderedFile, owner: tuple[int, int], host: Host) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    chown = (lambda descriptor: os.fchown(descriptor, *owner)) if host.user.switched else None
    write_atomically(target, file.text, file.mode, chown)


def _prune(root: Path, wanted: Bundle) -> Iterator[str]:
    kept = {root / path for path in wanted}
    kept |= {parent for path in kept for parent in path.parents}
    for path in sorted(root.rglob("*"), reverse=True):
        if path in kept or "__pycache__" in path.parts:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
            yield path.relative_to(root).as_posix()
