"""A profile as written: a tree of values that know where they were written. Merging and looking up in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from renecinfra.errors import Location

_SHOWN_MAX: Final = 80
Plain = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from: a place in a file, or an override as the user gave it."""

    location: Location | None = None
    override: str | None = None

    def __str__(self) -> str:
        return self.override or str(self.location)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; ``text`` is how it was written."""

    value: Plain
    source: Source
    text: str = ""
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list."""

    items: tuple[Node, ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Entry:
    """A mapping's value, and where its key is."""

    key: Source
    node: Node


@dataclass(frozen=True, slots=True, eq=False)
class MappingNode:
    """A mapping in the order in which it was written. Only itself is equal to it."""

    entries: Mapping[str, Entry]
    source: Source


Node = Scalar | ListNode | MappingNode


def plain(node: Node) -> Any:
    """The tree without its sources."""
    if isinstance(node, MappingNode):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value


def leaves(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Scalars, lists and empty mappings with their paths, in the order of the text."""
    if isinstance(node, MappingNode) and node.entries:
        for key, entry in node.entries.items():
            yield from leaves(entry.node, (*path, key))
    else:
        yield path, node


def is_null(node: Node) -> bool:
    """Whether a value is null, which in a profile takes away what it would inherit."""
    return isinstance(node, Scalar) and node.value is None


def merge(base: MappingNode, over: MappingNode) -> MappingNode:
    """``over`` laid on ``base``: mappings merge, everything else is replaced, null takes away.

    A section that both have is said to be written where ``over`` has it, unless that is an override: what
    an override leaves missing in a section is the file's fault.
    """
    entries = dict(base.entries)
    is_file = over.source.override is None
    for key, entry in over.entries.items():
        old, new, written = entries.pop(key, None), entry.node, entry.key
        if is_null(new):
            continue
        if isinstance(new, MappingNode):
            if old is not None and isinstance(old.node, MappingNode):
                new = merge(old.node, new)
                written = written if is_file else old.key
            else:
                new = merge(MappingNode({}, new.source), new)
        entries[key] = Entry(written, new)
    return MappingNode(MappingProxyType(entries), over.source if is_file else base.source)


def find(root: Node, path: Sequence[str | int]) -> Node | None:
    """The node at a path, if it is there."""
    node: Node | None = root
    for part in path:
        if isinstance(node, MappingNode):
            entry = node.entries.get(str(part))
            node = entry.node if entry else None
        elif isinstance(node, ListNode) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            return None
    return node


def source_of(root: Node, path: Sequence[str | int], *, key: bool = False) -> Source:
    """Where the value at a path (or its key) was written, or else the key of the nearest section above it."""
    node, source = root, root.source
    for index, part in enumerate(path):
        if isinstance(node, MappingNode) and str(part) in node.entries:
            entry = node.entries[str(part)]
            node, source = entry.node, entry.key
            if index == len(path) - 1 and not key:
                source = node.source
        elif isinstance(node, ListNode) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            source = node.source
        else:
            break
    return source


def shown(text: str) -> str:
    """Text from a profile for a message: on one line, and not long."""
    if len(text) <= _SHOWN_MAX and text.isprintable():
        return text
    cut = text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def dotted(path: Sequence[str | int]) -> str:
    """``workloads.worker.queues[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)}"
    return text.removeprefix(".")
