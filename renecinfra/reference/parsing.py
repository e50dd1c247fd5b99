"""The site's pages to records. Pure: text in, values or a :class:`ParseError` out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final, TypeVar
from urllib.parse import parse_qs, urlsplit

from renecinfra.reference.register import Centre, Certifier, Committee, Standard

_T = TypeVar("_T")
_STANDARD_KEY: Final = re.compile(r"EC[0-9]{4,}")
_TEXT_TAGS: Final = frozenset({"td", "dt", "dd"})


class ParseError(ValueError):
    """A page does not hold what it should; ``field`` names what is missing or wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class IndexPage:
    """A page of a list: each record's key and revision, and whether another page follows."""

    revisions: dict[str, int]
    has_next: bool


@dataclass(slots=True)
class _Page(HTMLParser):
    """Gathers table rows, definition lists, linked keys and whether there is a next page."""

    rows: list[list[str]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    linked: list[str] = field(default_factory=list)
    has_next: bool = False
    _text: list[str] | None = None
    _term: str = ""

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in _TEXT_TAGS:
            self._text = []
        elif tag == "a":
            self._link(dict(attrs))

    def _link(self, attributes: dict[str, str | None]) -> None:
        if attributes.get("rel") == "next":
            self.has_next = True
        query = parse_qs(urlsplit(attributes.get("href") or "").query)
        if query.get("comp") == ["ECD"] and "clave" in query:
            self.linked.append(query["clave"][0])

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _TEXT_TAGS or self._text is None:
            return
        text = " ".join("".join(self._text).split())
        self._text = None
        if tag == "dt":
            self._term = text
        elif tag == "dd":
            self.fields[self._term] = text
        elif self.rows:
            self.rows[-1].append(text)


def _parse(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    page.close()
    return page


def parse_index(html: str) -> IndexPage:
    """A list page; raises ParseError when a row has no key or revision, or when there is no row at all."""
    page = _parse(html)
    if not page.rows:
        raise ParseError("rows", "the list has no rows")
    revisions = {}
    for row in page.rows:
        if len(row) != 3 or not row[0]:
            raise ParseError("rows", f"a row of the list has {len(row)} cells instead of 3")
        revisions[row[0]] = _number("revision", row[2])
    return IndexPage(revisions, page.has_next)


def parse_sectors(html: str) -> dict[int, str]:
    """The sectors' names by id."""
    return {_number("sector_id", row[0]): row[1] for row in _table(html, 2)}


def parse_committees(html: str) -> tuple[Committee, ...]:
    """The committees."""
    return tuple(
        Committee(_number("comite_id", row[0]), row[1], _number("sector_id", row[2]))
        for row in _table(html, 3)
    )


def _table(html: str, cells: int) -> list[list[str]]:
    rows = _parse(html).rows
    if not rows or any(len(row) != cells for row in rows):
        raise ParseError("rows", f"the table is empty, or a row has not {cells} cells")
    return rows


def parse_standard(html: str) -> Standard:
    """A standard's page."""
    page = _parse(html)
    return Standard(
        ec_clave=_needed(page, "Clave", _standard_key),
        titulo=_needed(page, "Título"),
        descripcion=_needed(page, "Descripción"),
        nivel=_needed(page, "Nivel", _level),
        vigente=_needed(page, "Vigente", _yes),
        sector_id=_needed(page, "Sector", int),
        comite_id=_needed(page, "Comité", int),
        revision=_needed(page, "Revisión", int),
    )


def parse_certifier(html: str) -> Certifier:
    """A certifier's page."""
    page = _parse(html)
    return Certifier(
        cert_id=_needed(page, "Clave"),
        tipo=_needed(page, "Tipo", _kind),
        nombre=_needed(page, "Nombre"),
        estado=_needed(page, "Estado"),
        correo=_needed(page, "Correo"),
        revision=_needed(page, "Revisión", int),
        estandares=tuple(page.linked),
    )


def parse_centre(html: str) -> Centre:
    """A centre's page."""
    page = _parse(html)
    return Centre(
        centro_id=_needed(page, "Clave"),
        nombre=_needed(page, "Nombre"),
        estado=_needed(page, "Estado"),
        municipio=_needed(page, "Municipio"),
        cert_id=_needed(page, "Certificadora"),
        revision=_needed(page, "Revisión", int),
        estandares=tuple(page.linked),
    )


def _needed(page: _Page, name: str, convert: Callable[[str], _T] = str) -> _T:  # type: ignore[assignment]
    text = page.fields.get(name)
    if not text:
        raise ParseError(name, f"the page has no {name}")
    try:
        return convert(text)
    except ValueError:
        raise ParseError(name, f"{name} has a value that it cannot have") from None


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ParseError(name, f"{name} is not a number") from None


def _standard_key(text: str) -> str:
    if not _STANDARD_KEY.fullmatch(text):
        raise ValueError(text)
    return text


def _level(text: str) -> int:
    if not 1 <= int(text) <= 5:
        raise ValueError(text)
    return int(text)


def _kind(text: str) -> str:
    if text not in ("ECE", "OC"):
        raise ValueError(text)
    return text


def _yes(text: str) -> bool:
    if text not in ("Sí", "No"):
        raise ValueError(text)
    return text == "Sí"
