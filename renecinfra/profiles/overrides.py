"""What changes a profile without a file: ``--set path=value`` and ``RENECINFRA__SECTION__KEY``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from renecinfra.errors import ProfileError
from renecinfra.profiles.document import MAX_BYTES, MAX_DEPTH, compose
from renecinfra.profiles.tree import Entry, MappingNode, Node, Source, dotted, shown

PREFIX: Final = "RENECINFRA__"
# Below these, a key is a variable's name: capital letters, and __ may be part of it.
_VARIABLES: Final = ("environment", "secret_environment")
_SECRET: Final = re.compile(r"(?i)passw|secret|token|credential|(^|[._])key($|[._s=])|private")
_SHOWN: Final = 60


def from_options(options: Sequence[str]) -> Iterator[MappingNode]:
    """``--set`` options as trees, in order: dots separate the path, the value is YAML.

    Raises:
        ProfileError: there is no ``=``, the path is empty somewhere, or the value is not YAML.
    """
    for option in options:
        name, equals, value = option.partition("=")
        path = tuple(name.strip().split("."))
        label = _label(f"--set {name}", value)
        if not equals or not all(path):
            raise ProfileError(
                "profile-override",
                f"--set {shown(name)} is not PATH=VALUE",
                hint="write it like --set database.max_connections=200",
            )
        yield _tree(path, value, label)


def from_environ(environ: Mapping[str, str]) -> Iterator[MappingNode]:
    """``RENECINFRA__DATABASE__MAX_CONNECTIONS=200`` and the like as trees, in the order of their names.

    Raises:
        ProfileError: a name has an empty part, or the value is not YAML.
    """
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        parts = name.removeprefix(PREFIX).split("__")
        path = _environ_path(parts)
        label = _label(name, environ[name])
        if not all(path):
            raise ProfileError(
                "profile-override",
                f"the environment variable {shown(name)} has an empty part",
                hint=f"write it like {PREFIX}DATABASE__MAX_CONNECTIONS",
            )
        yield _tree(path, environ[name], label)


def _environ_path(parts: Sequence[str]) -> tuple[str, ...]:
    path: list[str] = []
    for index, part in enumerate(parts):
        if path and path[-1] in _VARIABLES and len(path) > 1:
            return (*path, "__".join(parts[index:]))
        path.append(part.lower())
    return tuple(path)


def _label(name: str, value: str) -> str:
    """How messages name an override: without its value, where that is long or may be a secret."""
    hidden = _SECRET.search(f"{name}={value}") or len(value) > _SHOWN or not value.isprintable()
    return f"{shown(name)}={'…' if hidden else value}"


def _tree(path: Sequence[str], text: str, label: str) -> MappingNode:
    # A command line can have bytes that are no UTF-8; Python passes them as lone surrogates.
    encodable = not any("\ud800" <= char <= "\udfff" for char in text + "".join(path))
    if not encodable or len(text) > MAX_BYTES or len(path) > MAX_DEPTH:
        raise ProfileError(
            "profile-override",
            f"{label} is not UTF-8, or is too large",
            hint="put large values in the profile",
        )
    node = compose(text, override=label)
    if node is None or not text.strip():
        raise ProfileError(
            "profile-override",
            f"{label} has no value",
            hint=f"write null to take {dotted(path)} away, or '\"\"' for an empty text",
        )
    source = Source(override=label)
    current: Node = node
    for key in reversed(path):
        current = MappingNode(MappingProxyType({key: Entry(source, current)}), source)
    assert isinstance(current, MappingNode)
    return current
