"""What the harvester writes: what was fetched, and the register's records in bulk.

Records land by COPY in the write side's tables and go from there to the read side in one statement, both
in one transaction: readers see a component as it was, or as it is now. Nothing depends on a session, so
everything works through PgBouncer in transaction mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Final, Literal

import psycopg
from psycopg.rows import TupleRow

from renecinfra.reference.register import Centre, Certifier, Committee, Standard

Connection = psycopg.Connection[TupleRow]
Component = Literal["standards", "certifiers", "centres"]
Record = Standard | Certifier | Centre

_REVISIONS: Final[Mapping[Component, bytes]] = {
    "standards": b"SELECT ec_clave, revision FROM ec_standards_v2 WHERE harvest_run_id IS NOT NULL",
    "certifiers": b"SELECT cert_id, revision FROM certificadores_v2 WHERE harvest_run_id IS NOT NULL",
    "centres": b"SELECT centro_id, revision FROM centros_v2 WHERE harvest_run_id IS NOT NULL",
}

_SECTORS = (
    "INSERT INTO sectors VALUES (%s, %s) ON CONFLICT (sector_id) DO UPDATE SET nombre = excluded.nombre"
)
_COMMITTEES = """
INSERT INTO comites VALUES (%s, %s, %s)
ON CONFLICT (comite_id) DO UPDATE SET nombre = excluded.nombre, sector_id = excluded.sector_id"""

_STANDARDS = """
INSERT INTO ec_standards_v2 AS known
    (ec_clave, titulo, descripcion, nivel, vigente, sector_id, comite_id, revision, harvest_run_id)
SELECT ec_clave, titulo, descripcion, nivel, vigente, sector_id, comite_id, revision, %s::bigint
FROM ec_standards
ON CONFLICT (ec_clave) DO UPDATE SET
    titulo = excluded.titulo, descripcion = excluded.descripcion, nivel = excluded.nivel,
    vigente = excluded.vigente, sector_id = excluded.sector_id, comite_id = excluded.comite_id,
    revision = excluded.revision, last_seen = now(), harvest_run_id = excluded.harvest_run_id"""
_STANDARD_EDGES = (
    "DELETE FROM ec_sector USING ec_standards s WHERE ec_sector.ec_clave = s.ec_clave",
    "INSERT INTO ec_sector SELECT ec_clave, sector_id FROM ec_standards",
)

_CERTIFIERS = """
INSERT INTO certificadores_v2 (cert_id, tipo, nombre, estado, correo, revision, harvest_run_id)
SELECT cert_id, tipo, nombre, estado, correo, revision, %s::bigint FROM certificadores
ON CONFLICT (cert_id) DO UPDATE SET
    tipo = excluded.tipo, nombre = excluded.nombre, estado = excluded.estado, correo = excluded.correo,
    revision = excluded.revision, last_seen = now(), harvest_run_id = excluded.harvest_run_id"""
_CERTIFIER_EDGES = (
    "DELETE FROM ece_ec USING certificadores c WHERE ece_ec.cert_id = c.cert_id",
    """INSERT INTO ece_ec
       SELECT DISTINCT c.cert_id, s.ec_clave
       FROM certificadores c CROSS JOIN unnest(c.estandares) AS linked (ec_clave)
       JOIN ec_standards_v2 s USING (ec_clave)""",
)

_CENTRES = """
INSERT INTO centros_v2 (centro_id, nombre, estado, municipio, cert_id, revision, harvest_run_id)
SELECT e.centro_id, e.nombre, e.estado, e.municipio, e.cert_id, e.revision, %s::bigint
FROM evaluation_centers e JOIN certificadores_v2 USING (cert_id)
ON CONFLICT (centro_id) DO UPDATE SET
    nombre = excluded.nombre, estado = excluded.estado, municipio = excluded.municipio,
    cert_id = excluded.cert_id, revision = excluded.revision, last_seen = now(),
    harvest_run_id = excluded.harvest_run_id"""
_CENTRE_EDGES = (
    "DELETE FROM centro_ec USING evaluation_centers e WHERE centro_ec.centro_id = e.centro_id",
    """INSERT INTO centro_ec
       SELECT DISTINCT e.centro_id, s.ec_clave
       FROM evaluation_centers e JOIN centros_v2 USING (centro_id)
       CROSS JOIN unnest(e.estandares) AS linked (ec_clave)
       JOIN ec_standards_v2 s USING (ec_clave)""",
)

_CRAWL_MAP = """
INSERT INTO crawl_map (url, status_code, seconds, attempts, run_id)
SELECT DISTINCT ON (url) url, status_code, seconds, attempts, %s::bigint FROM fetched
ON CONFLICT (url) DO UPDATE SET
    status_code = excluded.status_code, seconds = excluded.seconds,
    attempts = excluded.attempts, run_id = excluded.run_id, fetched_at = now()"""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page as crawl_map keeps it; ``seconds`` is the last attempt's duration."""

    url: str
    status_code: int
    seconds: float
    attempts: int


def connect(dsn: str) -> Connection:
    """A connection for a run; raises psycopg.OperationalError within 5 seconds."""
    return psycopg.connect(dsn, prepare_threshold=None, connect_timeout=5, autocommit=True)


def key_of(record: Record) -> str:
    """A record's key."""
    match record:
        case Standard():
            return record.ec_clave
        case Certifier():
            return record.cert_id
        case Centre():
            return record.centro_id


def revisions(connection: Connection, component: Component) -> dict[str, int]:
    """The revision that each harvested record had when it was last read from the site."""
    return dict(connection.execute(_REVISIONS[component]).fetchall())


def upsert_lists(connection: Connection, sectors: Mapping[int, str], committees: Iterable[Committee]) -> None:
    """Sectors and committees, which are few; one transaction."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_SECTORS, list(sectors.items()))
        cursor.executemany(_COMMITTEES, [astuple(committee) for committee in committees])


def copy_standards(connection: Connection, run_id: int | None, records: Sequence[Standard]) -> None:
    """Land and publish standards, whose sectors and committees are known; one transaction."""
    with connection.transaction():
        connection.execute("DELETE FROM ec_standards")
        _copy(connection, b"COPY ec_standards FROM STDIN", records)
        connection.execute(_STANDARDS, (run_id,))
        for statement in _STANDARD_EDGES:
            connection.execute(statement.encode())
        connection.execute("UPDATE harvest_runs SET standards = %s WHERE run_id = %s", (len(records), run_id))


def copy_certifiers(connection: Connection, run_id: int | None, records: Sequence[Certifier]) -> None:
    """Land and publish certifiers with their edges to standards that are known; one transaction."""
    with connection.transaction():
        connection.execute("DELETE FROM certificadores")
        _copy(connection, b"COPY certificadores FROM STDIN", records)
        connection.execute(_CERTIFIERS, (run_id,))
        for statement in _CERTIFIER_EDGES:
            connection.execute(statement.encode())
        connection.execute(
            "UPDATE harvest_runs SET certifiers = %s WHERE run_id = %s", (len(records), run_id)
        )


def copy_centres(connection: Connection, run_id: int | None, records: Sequence[Centre]) -> None:
    """Land and publish centres with their edges to standards that are known; one transaction.

    A centre whose certifier is not in the register stays in the write side only.
    """
    with connection.transaction():
        connection.execute("DELETE FROM evaluation_centers")
        _copy(connection, b"COPY evaluation_centers FROM STDIN", records)
        connection.execute(_CENTRES, (run_id,))
        for statement in _CENTRE_EDGES:
            connection.execute(statement.encode())
        connection.execute("UPDATE harvest_runs SET centres = %s WHERE run_id = %s", (len(records), run_id))


def copy_crawl_map(connection: Connection, run_id: int, fetched: Iterable[Fetched]) -> None:
    """Keep what was fetched, the latest request per URL; one transaction."""
    with connection.transaction():
        connection.execute(
            "CREATE TEMPORARY TABLE fetched (url text, status_code integer, seconds real, attempts integer)"
            " ON COMMIT DROP"
        )
        _copy(connection, b"COPY fetched FROM STDIN", fetched)
        connection.execute(_CRAWL_MAP, (run_id,))


def _copy(connection: Connection, statement: bytes, records: Iterable[Record | Fetched]) -> None:
    with connection.cursor().copy(statement) as copy:
        for record in records:
            # COPY takes a list as an array, but a tuple as a composite value.
            copy.write_row([list(v) if isinstance(v, tuple) else v for v in astuple(record)])
