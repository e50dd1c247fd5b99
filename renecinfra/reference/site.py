"""A fake RENEC site to harvest: ``python -m renecinfra.reference.site --port N``.

It says that it is fake in its Server header and at the foot of every page. Pages look like a register's:
lists of keys with revisions, and one page per record. Response times follow what was measured on the real
site: 13 components, 100 to 2,244 ms, 8 of them up to 500 ms, 3 up to 1,500 ms, 2 above; since a harvest
mostly reads records, its average is about 1.2 s.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final
from urllib.parse import parse_qs

from renecinfra.reference.register import Register, generate

SERVER: Final = "renecinfra-fake-site"
FOOTER: Final = "Sitio ficticio de renecinfra para pruebas: no es el RENEC y sus datos son inventados."
PATH: Final = "/RENEC/controlador.do"
PAGE_SIZE: Final = 50
ROBOTS: Final = "User-agent: *\nDisallow: /RENEC/admin\n"

LATENCY_MS: Final = {
    "IR": 100,
    "SEC": 180,
    "COM": 220,
    "CUR": 280,
    "AYU": 300,
    "EC": 420,
    "ECE": 460,
    "CE": 500,
    "CED": 1150,
    "ECD": 1200,
    "ECED": 1480,
    "EST": 1900,
    "MAP": 2244,
}
"""Milliseconds per component: lists, records (ending in D), and four that are not harvested."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A page: status, text, content type and further headers."""

    status: int
    text: str
    content_type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class FakeSite:
    """The site as an ASGI application.

    ``latency_scale`` multiplies the measured response times; ``error_rate`` is the share of requests for
    components that fail with 503, spread by ``seed``.
    """

    def __init__(
        self, register: Register, *, latency_scale: float = 1.0, error_rate: float = 0.0, seed: int = 0
    ) -> None:
        self._pages = Pages(register)
        self._scale = latency_scale
        self._error_rate = error_rate
        self._errors = random.Random(f"{seed}:errors")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; speaks the lifespan protocol too."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _respond(send, await self._answer(scope), head=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope) -> Answer:
        if scope["method"] not in ("GET", "HEAD"):
            return _page(405, "Método no permitido", "")
        if scope["path"] == "/robots.txt":
            return Answer(200, ROBOTS, "text/plain; charset=utf-8")
        if scope["path"] != PATH:
            return _page(404, "No encontrado", "")
        query = {
            name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()
        }
        component = query.get("comp", "")
        await asyncio.sleep(LATENCY_MS.get(component, 100) / 1000 * self._scale)
        if self._errors.random() < self._error_rate:
            page = _page(503, "Servicio no disponible", "")
            return Answer(503, page.text, headers=(("retry-after", "1"),))
        return self._pages.answer(component, query)


class Pages:
    """The register's pages as HTML."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._standards = {item.ec_clave: item for item in register.standards}
        self._certifiers = {item.cert_id: item for item in register.certifiers}
        self._centres = {item.centro_id: item for item in register.centres}

    def answer(self, component: str, query: dict[str, str]) -> Answer:  # noqa: PLR0911 - one per page
        """The page of a component; 404 for one that there is not."""
        key = query.get("clave", "")
        match component:
            case "IR":
                return _page(200, "Registro Nacional de Estándares de Competencia", _menu())
            case "SEC":
                return _page(200, "Sectores", _rows((str(k), n) for k, n in self._register.sectors.items()))
            case "COM":
                rows = ((str(c.comite_id), c.nombre, str(c.sector_id)) for c in self._register.committees)
                return _page(200, "Comités", _rows(rows))
            case "EC":
                items = [(s.ec_clave, s.titulo, s.revision) for s in self._register.standards]
                return _index("Estándares de competencia", "EC", "ECD", items, query)
            case "ECE":
                items = [(c.cert_id, c.nombre, c.revision) for c in self._register.certifiers]
                return _index("Certificadoras", "ECE", "ECED", items, query)
            case "CE":
                items = [(c.centro_id, c.nombre, c.revision) for c in self._register.centres]
                return _index("Centros de evaluación", "CE", "CED", items, query)
            case "ECD" if key in self._standards:
                return self._standard(key)
            case "ECED" if key in self._certifiers:
                return self._certifier(key)
            case "CED" if key in self._centres:
                return self._centre(key)
            case "CUR" | "AYU" | "EST" | "MAP":
                return _page(200, component, "<p>Sin registros.</p>")
            case _:
                return _page(404, "No encontrado", "")

    def _standard(self, key: str) -> Answer:
        item = self._standards[key]
        fields = {
            "Clave": item.ec_clave,
            "Título": item.titulo,
            "Descripción": item.descripcion,
            "Nivel": str(item.nivel),
            "Vigente": "Sí" if item.vigente else "No",
            "Sector": str(item.sector_id),
            "Comité": str(item.comite_id),
            "Revisión": str(item.revision),
        }
        return _page(200, item.titulo, _fields(fields))

    def _certifier(self, key: str) -> Answer:
        item = self._certifiers[key]
        fields = {
            "Clave": item.cert_id,
            "Tipo": item.tipo,
            "Nombre": item.nombre,
            "Estado": item.estado,
            "Correo": item.correo,
            "Revisión": str(item.revision),
        }
        return _page(200, item.nombre, _fields(fields) + _links(item.estandares))

    def _centre(self, key: str) -> Answer:
        item = self._centres[key]
        fields = {
            "Clave": item.centro_id,
            "Nombre": item.nombre,
            "Estado": item.estado,
            "Municipio": item.municipio,
            "Certificadora": item.cert_id,
            "Revisión": str(item.revision),
        }
        return _page(200, item.nombre, _fields(fields) + _links(item.estandares))


def _href(component: str, **query: str | int) -> str:
    parts = "".join(f"&amp;{name}={escape(str(value))}" for name, value in query.items())
    return f"controlador.do?comp={component}{parts}"


def _page(status: int, title: str, body: str) -> Answer:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>'
    text = (
        f'<!doctype html>\n<html lang="es"><head>{head}</head>\n'
        f"<body><h1>{escape(title)}</h1>\n{body}\n<footer>{FOOTER}</footer></body></html>\n"
    )
    return Answer(status, text)


def _menu() -> str:
    links = "".join(f'<li><a href="{_href(name)}">{name}</a></li>' for name in LATENCY_MS if name[-1] != "D")
    return f"<ul>{links}</ul>"


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return '<table class="registros">\n' + "\n".join(lines) + "\n</table>"


def _index(
    title: str, component: str, detail: str, items: list[tuple[str, str, int]], query: dict[str, str]
) -> Answer:
    number = query.get("pagina", "1")
    if not (number.isascii() and number.isdigit() and len(number) < 7 and int(number) > 0):
        return _page(404, "No encontrado", "")
    start = (int(number) - 1) * PAGE_SIZE
    lines = [
        f'<tr><td><a href="{_href(detail, clave=key)}">{escape(key)}</a></td>'
        f"<td>{escape(name)}</td><td>{revision}</td></tr>"
        for key, name, revision in items[start : start + PAGE_SIZE]
    ]
    body = '<table class="registros">\n' + "\n".join(lines) + "\n</table>"
    if start + PAGE_SIZE < len(items):
        body += f'\n<a rel="next" href="{_href(component, pagina=int(number) + 1)}">Siguiente</a>'
    return _page(200, title, body)


def _fields(fields: dict[str, str]) -> str:
    lines = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in fields.items())
    return "<dl>\n" + "\n".join(lines) + "\n</dl>"


def _links(keys: Iterable[str]) -> str:
    lines = (f'<li><a href="{_href("ECD", clave=key)}">{escape(key)}</a></li>' for key in keys)
    return '<ul class="estandares">' + "".join(lines) + "</ul>"


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _respond(send: Send, answer: Answer, *, head: bool) -> None:
    body = answer.text.encode()
    headers = (
        ("content-type", answer.content_type),
        ("content-length", str(len(body))),
        ("server", SERVER),
        *answer.headers,
    )
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if head else body})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="site", description="A fake RENEC site.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-scale", type=float, default=1.0)
    parser.add_argument("--standards", type=int, default=60)
    parser.add_argument("--certifiers", type=int, default=20)
    parser.add_argument("--centres", type=int, default=40)
    parser.add_argument("--error-rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Serve the site on 127.0.0.1 until SIGTERM."""
    import uvicorn

    options = _arguments()
    register = generate(options.standards, options.certifiers, options.centres, options.seed)
    site = FakeSite(
        register, latency_scale=options.latency_scale, error_rate=options.error_rate, seed=options.seed
    )
    uvicorn.run(
        site,
        host="127.0.0.1",
        port=options.port,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
