"""Reading profile files and joining them along ``extends``."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, NoReturn

from renecinfra.errors import Location, ProfileError
from renecinfra.profiles.document import compose, decode
from renecinfra.profiles.tree import ListNode, MappingNode, Node, Scalar, Source, is_null, merge
from renecinfra.workspace import Workspace

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """One file as written: its tree without ``extends``, and what it extends."""

    name: str
    path: str
    root: MappingNode
    extends: tuple[tuple[str, Source], ...]


def read(workspace: Workspace, name: str, wanted_by: Source | None = None) -> ProfileFile:
    """Read environments/NAME.yaml.

    Raises:
        ProfileError: there is no such file, it cannot be read, or it is no mapping of sections.
    """
    location = wanted_by.location if wanted_by else None
    if not _NAME.fullmatch(name):
        raise ProfileError(
            "profile-name",
            "a profile's name has 2 to 40 lower-case letters, digits and hyphens and begins with a letter",
            location=location,
            hint=f"the file of the profile NAME is {workspace.environments.name}/NAME.yaml",
        )
    file = workspace.environments / f"{name}.yaml"
    path = f"{workspace.environments.name}/{name}.yaml"
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        _missing(workspace, name, path, location)
    except OSError as error:
        raise ProfileError(
            "profile-unreadable", f"{path} cannot be read: {error.strerror}", location=location
        ) from error
    return _parsed(data, name, path)


@lru_cache(maxsize=64)
def _parsed(data: bytes, name: str, path: str) -> ProfileFile:
    # By content, so that nothing stale is ever used; many environments extend the same few files.
    root = compose(decode(data, path), path)
    if root is None or is_null(root):
        raise ProfileError(
            "profile-syntax",
            "the file is empty",
            location=Location(path, 1, 1),
            hint="`renecinfra env new NAME` writes a profile to begin with",
        )
    if not isinstance(root, MappingNode):
        raise ProfileError(
            "profile-syntax",
            "a profile is a mapping of sections such as platform and database",
            location=root.source.location,
            hint="begin with the line `environment: NAME`",
        )
    below = MappingNode(
        MappingProxyType({key: entry for key, entry in root.entries.items() if key != "extends"}),
        root.source,
    )
    return ProfileFile(name, path, below, _extends(root))


def names(workspace: Workspace) -> list[str]:
    """The names of all profile files, bases included, in order."""
    found = (path.stem for path in workspace.environments.glob("*.yaml"))
    return sorted(name for name in found if _NAME.fullmatch(name))


def _missing(workspace: Workspace, name: str, path: str, location: Location | None) -> NoReturn:
    known = [other for other in names(workspace) if location is None or other != Path(location.path).stem]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(known) or 'none'}"
    raise ProfileError("profile-missing", f"there is no profile {path}", location=location, hint=hint)


def _extends(root: MappingNode) -> tuple[tuple[str, Source], ...]:
    entry = root.entries.get("extends")
    if entry is None or is_null(entry.node):
        return ()
    nodes: tuple[Node, ...] = entry.node.items if isinstance(entry.node, ListNode) else (entry.node,)
    found = []
    for node in nodes:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise ProfileError(
                "profile-invalid",
                "extends must be a profile's name, or a list of names of which later ones win",
                location=node.source.location,
                hint="write it like `extends: base`",
            )
        found.append((node.value, node.source))
    return tuple(found)


def resolve(workspace: Workspace, name: str) -> tuple[MappingNode, tuple[ProfileFile, ...]]:
    """The profile joined with everything that it extends, and the files: itself first, then its bases.

    ``environment`` is never inherited: it says what a file is.

    Raises:
        ProfileError: a file is missing or wrong, or profiles extend each other.
    """
    files: dict[str, ProfileFile] = {}
    merged: dict[str, MappingNode] = {}
    # Depth first with a stack of our own, so that no chain is too long. A name is in ``open_names`` while
    # what it extends is being joined: meeting it again then is a cycle.
    open_names: list[str] = []
    stack: list[tuple[str, Source | None, bool]] = [(name, None, False)]
    while stack:
        current, wanted_by, leaving = stack.pop()
        if leaving:
            open_names.pop()
            file = files[current]
            merged[current] = _join(file.root, tuple(merged[base] for base, _ in file.extends))
        elif current in open_names:
            _cycle([*open_names[open_names.index(current) :], current], wanted_by)
        elif current not in merged:
            files[current] = read(workspace, current, wanted_by)
            open_names.append(current)
            stack.append((current, wanted_by, True))
            stack.extend((base, source, False) for base, source in reversed(files[current].extends))
    return merged[name], tuple(files.values())


@lru_cache(maxsize=64)
def _join(root: MappingNode, bases: tuple[MappingNode, ...]) -> MappingNode:
    joined = MappingNode(MappingProxyType({}), root.source)
    for base in bases:
        joined = merge(joined, base)
    entries = {key: entry for key, entry in joined.entries.items() if key != "environment"}
    return merge(MappingNode(MappingProxyType(entries), joined.source), root)


def _cycle(chain: list[str], wanted_by: Source | None) -> NoReturn:
    raise ProfileError(
        "profile-cycle",
        f"profiles extend each other: {' -> '.join(chain)}",
        location=wanted_by.location if wanted_by else None,
        hint="take one of the extends away",
    )
