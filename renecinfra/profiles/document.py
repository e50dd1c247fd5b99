"""YAML text to a tree that knows where every key and value was written. Strict, and free of I/O.

Profiles use the part of YAML on which versions 1.1 and 1.2 agree. Plain scalars that the two read differently
(``no``, ``010``, ``1:30``, ``2026-11-24``), tags, merge keys and several documents are refused, because each
would mean one thing here and another in the next reader's editor. Aliases are allowed, but not loops of them.
Values are not repeated in messages: any of them may be a secret that is in the wrong place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NoReturn

import yaml

from renecinfra.errors import Location, ProfileError
from renecinfra.profiles.tree import Entry, ListNode, MappingNode, Node, Plain, Scalar, Source, shown

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Final[Mapping[str, Plain]] = MappingProxyType(
    {word: value for name, value in (("true", True), ("false", False), ("null", None))
     for word in (name, name.capitalize(), name.upper())} | {"": None, "~": None}
)  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?")
# What YAML 1.1 (https://yaml.org/type/) and YAML 1.2's core schema read differently.
_AMBIGUOUS: Final = (
    (
        re.compile(r"(?i:y|n|yes|no|on|off)"),
        "this word is a yes-or-no to some readers of YAML, text to others",
    ),
    (
        re.compile(r"[-+]?0(?:[0-9_][0-9_.]*|[xob][0-9a-fA-F_]+)"),
        "readers of YAML differ on which number this is",
    ),
    (re.compile(r"[-+]?[0-9][0-9,]*_[0-9_.]*"), "this is a number to some readers of YAML, text to others"),
    (
        re.compile(r"[-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?"),
        "this is a number in base 60 to some readers of YAML",
    ),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?"), "this is a date to some readers of YAML"),
    (re.compile(r"[-+]?\.(?i:inf|nan)"), "a profile has no use for this number"),
)
# What the YAML reader refuses (https://yaml.org/spec/1.1/#c-printable), found first to say where it is.
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PROBLEMS: Final = (
    ("mapping values are not allowed", "a colon makes a key here, where none can be"),
    ("unexpected end of stream", "a quoted text is never closed"),
    ("expected ',' or", "a bracket is never closed, or a comma is missing"),
    ("did not find expected key", "a key is expected here; the indentation or a bracket above is wrong"),
    ("<block end>", "a key is expected here; the indentation or a bracket above is wrong"),
    ("could not find expected ':'", "a colon is missing after the key here or on the line above"),
    ("<document start>", "the indentation is less than that of the first key"),
    ("cannot start any token", "this character cannot begin a value; quote the value"),
)
_OUT: Final = "write the value out"
_QUOTE: Final = "quote the value, or check the indentation"


def decode(data: bytes, path: str) -> str:
    """A file's text.

    Raises:
        ProfileError: it is too large or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise ProfileError(
            "profile-too-large",
            f"the file has {len(data)} bytes; a profile may have {MAX_BYTES}",
            location=Location(path, 1, 1),
            hint="split it and join the parts with extends",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        raise ProfileError(
            "profile-syntax",
            "the file is not UTF-8 text",
            location=_position(path, before),
            hint="save it as UTF-8",
        ) from None


def compose(text: str, path: str | None = None, override: str | None = None) -> Node | None:
    """The tree of one YAML document; None when there is nothing but comments.

    Sources point into the file at ``path``, or all name ``override``.

    Raises:
        ProfileError: the text is not YAML, or uses what profiles do not take.
    """
    return _Composer(path or "", override).compose(text)


def _position(path: str, before: str) -> Location:
    lines = before.splitlines() or [""]
    if before.endswith(("\n", "\r")):
        lines.append("")
    return Location(path, len(lines), len(lines[-1]) + 1)


class _Open:
    """A list or mapping whose end has not been read."""

    def __init__(self, source: Source, anchor: str | None, *, mapping: bool) -> None:
        self.source, self.anchor, self.mapping = source, anchor, mapping
        self.items: list[Node] = []
        self.entries: dict[str, Entry] = {}
        self.key: tuple[str, Source] | None = None
        self.size = 1


class _Composer:
    """Builds the tree from parser events, without recursion: depth and size are bounded on the way."""

    def __init__(self, path: str, override: str | None) -> None:
        self._path = path
        self._override = None if override is None else Source(override=override)
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._root: Node | None = None
        self._size = 0

    def compose(self, text: str) -> Node | None:
        unprintable = _UNPRINTABLE.search(text)
        if unprintable:
            where = Source(_position(self._path, text[: unprintable.start()]))
            code = f"U+{ord(unprintable[0]):04X}"
            self._refuse(where, f"the control character {code} cannot be in a profile", "remove it")
        documents = 0
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._refuse(self._at(event), "a profile is one YAML document", "remove the --- line")
                self._event(event)
        except yaml.MarkedYAMLError as error:
            self._syntax(error, text)
        except yaml.YAMLError as error:
            self._refuse(Source(Location(self._path, 1, 1)), f"not YAML: {error}".splitlines()[0])
        return self._root

    def _event(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._check_tag(event)
            self._add(self._scalar(event), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._check_tag(event)
            source = self._at(event)
            if len(self._open) >= MAX_DEPTH:
                self._refuse(source, f"nested more than {MAX_DEPTH} levels deep", "flatten it")
            mapping = isinstance(event, yaml.MappingStartEvent)
            if self._open and self._open[-1].mapping and self._open[-1].key is None:
                self._refuse(source, "a key must be text, not a list or a mapping")
            if event.anchor:
                self._anchors[event.anchor] = None
            self._open.append(_Open(source, event.anchor, mapping=mapping))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            done = self._open.pop()
            node: Node = (
                MappingNode(MappingProxyType(done.entries), done.source)
                if done.mapping
                else ListNode(tuple(done.items), done.source)
            )
            self._add(node, done.anchor, done.size)

    def _at(self, event: yaml.Event) -> Source:
        mark = event.start_mark
        if self._override or mark is None:
            return self._override or Source(Location(self._path, 1, 1))
        return Source(Location(self._path, mark.line + 1, mark.column + 1))

    def _check_tag(self, event: yaml.NodeEvent) -> None:
        if getattr(event, "tag", None) is not None:
            self._refuse(
                self._at(event), "tags (!name) are not used in profiles", "quote the value if it is text"
            )

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self._anchors:
            self._refuse(self._at(event), "this alias names an anchor that is not defined above it", _OUT)
        known = self._anchors[event.anchor]
        if known is None:
            self._refuse(self._at(event), "this alias is inside the value that it repeats", _OUT)
        self._add(known[0], None, known[1], at=self._at(event))

    def _add(self, node: Node, anchor: str | None, size: int = 1, at: Source | None = None) -> None:
        if anchor:
            self._anchors[anchor] = (node, size)
        if not self._open:
            self._root = node
            return
        top = self._open[-1]
        top.size += size
        if top.size > MAX_NODES:
            raise ProfileError(
                "profile-too-large",
                f"with its aliases written out it has more than {MAX_NODES} values",
                location=(at or node.source).location,
                hint="write the values out instead of nesting aliases",
            )
        if not top.mapping:
            top.items.append(node)
        elif top.key is None:
            top.key = self._key(node, at or node.source, top)
        else:
            name, source = top.key
            top.entries[name] = Entry(source, node)
            top.key = None

    def _key(self, node: Node, at: Source, mapping: _Open) -> tuple[str, Source]:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            written = shown(node.text) if isinstance(node, Scalar) and node.text else "this"
            self._refuse(at, f"a key must be text, which {written} is not", "quote the key")
        if node.value == "<<" and not node.quoted:
            self._refuse(at, "merge keys (<<) are not used in profiles", "inherit with extends")
        if node.value in mapping.entries:
            first = mapping.entries[node.value].key.location
            line = f" (first on line {first.line})" if first else ""
            raise ProfileError(
                "profile-duplicate-key",
                f"the key {shown(node.value)} is here twice{line}" + self._suffix(),
                location=at.location,
                hint="keep one of the two; YAML readers silently take the last",
            )
        return node.value, at

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        source, text = self._at(event), event.value
        if not event.implicit[0]:
            return Scalar(text, source, text, quoted=True)
        return Scalar(self._plain(text, source), source, text)

    def _plain(self, text: str, source: Source) -> Plain:
        if text in _WORDS:
            return _WORDS[text]
        for pattern, meaning in _AMBIGUOUS:
            if pattern.fullmatch(text):
                raise ProfileError(
                    "profile-ambiguous",
                    meaning + self._suffix(),
                    location=source.location,
                    hint="quote it if it is text; a switch is true or false, a number is plain digits",
                )
        if _INTEGER.fullmatch(text):
            if len(text) > 18:
                self._refuse(source, "this number is too large", "quote it if it is text")
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                self._refuse(source, "this number is too large", "quote it if it is text")
            return number
        return text

    def _suffix(self) -> str:
        return f" (in {self._override})" if self._override else ""

    def _refuse(self, source: Source, message: str, hint: str = _QUOTE) -> NoReturn:
        location = None if self._override else source.location
        raise ProfileError("profile-syntax", message + self._suffix(), location=location, hint=hint)

    def _syntax(self, error: yaml.MarkedYAMLError, text: str) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        lines = text.splitlines() or [""]
        written = lines[min(line, len(lines) - 1)]
        indent = written[: len(written) - len(written.lstrip())]
        problem = str(error.problem or "not YAML")
        if "\t" in indent:
            where = Source(Location(self._path, line + 1, indent.index("\t") + 1))
            self._refuse(where, "a tab is used to indent; YAML takes only spaces", "indent with two spaces")
        message = next((ours for theirs, ours in _PROBLEMS if theirs in problem), problem)
        if "unexpected end" in problem and error.context_mark:
            line, column = error.context_mark.line, error.context_mark.column
        self._refuse(Source(Location(self._path, line + 1, column + 1)), message)
