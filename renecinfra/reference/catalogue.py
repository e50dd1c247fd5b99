"""The register as the API reads it: which tables, filters and columns, and the SQL for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PAGE_SIZE_MAX: Final = 100
PAGE_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of record. ``filters`` are columns that a list may be narrowed by."""

    table: str
    key: str
    text: str
    columns: tuple[str, ...]
    filters: tuple[str, ...]


STANDARDS: Final = Resource(
    "ec_standards_v2",
    "ec_clave",
    "titulo",
    ("ec_clave", "titulo", "descripcion", "nivel", "vigente", "sector_id", "comite_id", "last_seen"),
    ("sector_id", "nivel", "vigente"),
)
CERTIFIERS: Final = Resource(
    "certificadores_v2",
    "cert_id",
    "nombre",
    ("cert_id", "tipo", "nombre", "estado", "correo", "last_seen"),
    ("tipo", "estado"),
)
CENTRES: Final = Resource(
    "centros_v2",
    "centro_id",
    "nombre",
    ("centro_id", "nombre", "estado", "municipio", "cert_id", "last_seen"),
    ("estado", "cert_id"),
)

RUNS: Final = b"""
SELECT run_id, mode, status, started_at, finished_at, requests, errors, standards, certifiers, centres, error
FROM harvest_runs ORDER BY run_id DESC LIMIT %(limit)s"""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A page of a list: the rows' query, the query that counts them, and the values of both."""

    rows: bytes
    count: bytes
    values: Mapping[str, object]


def list_query(
    resource: Resource, page: int, page_size: int, text: str | None, filters: Mapping[str, object]
) -> ListQuery:
    """A page of a resource's records in key order, narrowed by ``text`` and by filters that are not None.

    Raises:
        ValueError: a filter is not one of the resource's.
    """
    values: dict[str, object] = {"limit": page_size, "offset": (page - 1) * page_size}
    conditions = []
    for name, value in filters.items():
        if name not in resource.filters:
            raise ValueError(f"{resource.table} has no filter {name}")
        if value is not None:
            conditions.append(f"{name} = %({name})s")
            values[name] = value
    if text:
        conditions.append(f"{resource.text} ILIKE %(text)s")
        values["text"] = f"%{like_escape(text)}%"
    return _page(resource, resource.table, " AND ".join(conditions), values)


def certifiers_query(ec_clave: str, page: int, page_size: int) -> ListQuery:
    """A page of the certifiers of one standard."""
    values = {"limit": page_size, "offset": (page - 1) * page_size, "ec_clave": ec_clave}
    source = f"{CERTIFIERS.table} JOIN ece_ec USING (cert_id)"
    return _page(CERTIFIERS, source, "ec_clave = %(ec_clave)s", values)


def _page(resource: Resource, source: str, condition: str, values: Mapping[str, object]) -> ListQuery:
    where = f"WHERE {condition}" if condition else ""
    # Only names of this module are put into the SQL; what a client sent is in the values.
    count = f"SELECT count(*) AS total FROM {source} {where}"  # noqa: S608
    rows = (
        f"SELECT {', '.join(resource.columns)} FROM {source} {where}"  # noqa: S608
        f" ORDER BY {resource.key} LIMIT %(limit)s OFFSET %(offset)s"
    )
    return ListQuery(rows.encode(), count.encode(), values)


def get_query(resource: Resource) -> bytes:
    """One record by ``%(key)s``."""
    columns = ", ".join(resource.columns)
    return f"SELECT {columns} FROM {resource.table} WHERE {resource.key} = %(key)s".encode()  # noqa: S608


def like_escape(text: str) -> str:
    """Text that ILIKE takes as it is."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
