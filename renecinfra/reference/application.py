"""The API: health, metrics, and the register's lists, records and search."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from renecinfra.reference import catalogue, metrics, models
from renecinfra.reference.backends import Cache, Database, UnavailableError, bounded, client, ping
from renecinfra.reference.observing import Observed
from renecinfra.reference.settings import Settings

PageNumber = Annotated[int, Query(ge=1, le=catalogue.PAGE_MAX)]
PageSize = Annotated[int, Query(ge=1, le=catalogue.PAGE_SIZE_MAX)]
Search = Annotated[str | None, Query(min_length=1, max_length=200, description="Part of the name.")]
Key = Annotated[str, Path(pattern=r"^[A-Za-z0-9-]{1,32}$")]
Filter = Annotated[str | None, Query(min_length=1, max_length=100)]

_ENQUEUE_SECONDS = 3.0
_FRESH = {"Cache-Control": "no-store"}
_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": models.Problem}}
_ONE: dict[int | str, dict[str, Any]] = {404: {"model": models.Problem}, **_UNAVAILABLE}

health = APIRouter()
register = APIRouter(prefix="/api/v1", responses=_UNAVAILABLE)


def create_app(settings: Settings) -> FastAPI:
    """The application; connects when it is started."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.database_url, settings.pool_size, settings.max_overflow)
        cache, broker = Cache(settings.cache_url), client(settings.redis_url, 1.0)
        app.state.settings, app.state.database = settings, database
        app.state.cache, app.state.broker = cache, broker
        await database.open()
        try:
            yield
        finally:
            await database.close()
            await cache.close()
            await broker.aclose()

    # The documentation pages would load scripts from elsewhere; /openapi.json stands alone.
    app = FastAPI(
        title="RENEC reference API",
        description="Stands in for RENEC Harvester's API.",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Observed)
    app.add_exception_handler(UnavailableError, _unavailable)
    app.include_router(health)
    app.include_router(register)
    return app


async def _unavailable(request: Request, error: Exception) -> Response:
    del request
    return JSONResponse({"detail": str(error)}, 503, headers={"Retry-After": "1"})


@health.get("/health")
@health.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers; says nothing about what is behind it."""
    return {"status": "healthy"}


@health.get("/health/ready", response_model=models.Readiness, responses={503: {"model": models.Readiness}})
async def ready(request: Request) -> Response:
    """PostgreSQL and the broker answer within a second. The cache may be away: it only makes answers fast."""
    state = request.app.state
    results = await asyncio.gather(state.database.ping(), ping(state.broker), return_exceptions=True)
    checks = {}
    for name, result in zip(("postgresql", "redis"), results, strict=True):
        if result is not None and not isinstance(result, UnavailableError):
            raise result
        checks[name] = "ok" if result is None else str(result)
    failed = any(result != "ok" for result in checks.values())
    body = {"status": "unavailable" if failed else "ready", "checks": checks}
    return JSONResponse(body, 503 if failed else 200, headers=_FRESH)


@health.get("/metrics", include_in_schema=False)
async def metrics_page() -> Response:
    """The metrics, for Prometheus; the edge does not pass it on."""
    body, content_type = metrics.exposition()
    return Response(body, headers={"Content-Type": content_type})


@register.get("/ec-standards", response_model=models.Page[models.Standard])
async def list_standards(
    request: Request,
    *,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    q: Search = None,
    sector_id: Annotated[int | None, Query(ge=1, le=10_000)] = None,
    nivel: Annotated[int | None, Query(ge=1, le=5)] = None,
    vigente: bool | None = None,
) -> Response:
    """Competency standards by key; ``q`` searches their titles."""
    filters = {"sector_id": sector_id, "nivel": nivel, "vigente": vigente}
    query = catalogue.list_query(catalogue.STANDARDS, page, page_size, q, filters)
    return await _list(request, catalogue.STANDARDS, query, page, page_size)


@register.get("/ec-standards/{ec_clave}", response_model=models.Standard, responses=_ONE)
async def get_standard(request: Request, ec_clave: Key) -> Response:
    """One competency standard."""
    return _json(await _get(request, catalogue.STANDARDS, ec_clave))


@register.get(
    "/ec-standards/{ec_clave}/certificadores", response_model=models.Page[models.Certifier], responses=_ONE
)
async def list_standard_certifiers(
    request: Request, ec_clave: Key, page: PageNumber = 1, page_size: PageSize = 20
) -> Response:
    """Who certifies a standard."""
    await _get(request, catalogue.STANDARDS, ec_clave)
    query = catalogue.certifiers_query(ec_clave, page, page_size)
    return await _list(request, catalogue.CERTIFIERS, query, page, page_size)


@register.get("/certificadores", response_model=models.Page[models.Certifier])
async def list_certifiers(
    request: Request,
    *,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    q: Search = None,
    tipo: Filter = None,
    estado: Filter = None,
) -> Response:
    """Certifying bodies by key; ``q`` searches their names."""
    filters = {"tipo": tipo, "estado": estado}
    query = catalogue.list_query(catalogue.CERTIFIERS, page, page_size, q, filters)
    return await _list(request, catalogue.CERTIFIERS, query, page, page_size)


@register.get("/certificadores/{cert_id}", response_model=models.Certifier, responses=_ONE)
async def get_certifier(request: Request, cert_id: Key) -> Response:
    """One certifying body."""
    return _json(await _get(request, catalogue.CERTIFIERS, cert_id))


@register.get("/centros", response_model=models.Page[models.Centre])
async def list_centres(
    request: Request,
    *,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    q: Search = None,
    estado: Filter = None,
    cert_id: Filter = None,
) -> Response:
    """Evaluation centres by key; ``q`` searches their names."""
    filters = {"estado": estado, "cert_id": cert_id}
    query = catalogue.list_query(catalogue.CENTRES, page, page_size, q, filters)
    return await _list(request, catalogue.CENTRES, query, page, page_size)


@register.get("/centros/{centro_id}", response_model=models.Centre, responses=_ONE)
async def get_centre(request: Request, centro_id: Key) -> Response:
    """One evaluation centre."""
    return _json(await _get(request, catalogue.CENTRES, centro_id))


@register.get("/harvest/runs", response_model=models.Runs)
async def list_runs(request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> Response:
    """The latest harvests, latest first."""
    rows = await request.app.state.database.fetch("harvest_runs", catalogue.RUNS, {"limit": limit})
    return Response(
        _dump({"items": rows}), media_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _authorised(request: Request, x_api_key: Annotated[str | None, Header(max_length=200)] = None) -> None:
    """Refuse a request without one of the API's keys; compares all of them in constant time."""
    given = (x_api_key or "").encode()
    matches = [hmac.compare_digest(given, key.encode()) for key in request.app.state.settings.api_keys]
    if not any(matches):
        raise HTTPException(401, "X-API-Key is missing or wrong", {"WWW-Authenticate": "ApiKey"})


@register.post(
    "/harvest/runs",
    status_code=202,
    response_model=models.Queued,
    responses={401: {"model": models.Problem}},
    dependencies=[Depends(_authorised)],
)
async def start_harvest(request: Request, mode: Literal["daily", "full"] = "daily") -> dict[str, str]:
    """Ask for a harvest. It is queued; one that is running is not disturbed."""
    work = asyncio.to_thread(_enqueue, request.app.state.settings.redis_url, mode)
    return {"task_id": await bounded(work, _ENQUEUE_SECONDS, "Redis")}


def _enqueue(redis_url: str, mode: Literal["daily", "full"]) -> str:
    # Celery takes as long to import as everything else here, and hardly anybody asks for this.
    from kombu.exceptions import OperationalError

    from renecinfra.reference.queues import enqueue, make_app

    try:
        with make_app(redis_url) as celery:
            return enqueue(celery, mode)
    except OperationalError as error:
        raise UnavailableError("Redis: the harvest could not be queued") from error


async def _list(
    request: Request, resource: catalogue.Resource, query: catalogue.ListQuery, page: int, page_size: int
) -> Response:
    state = request.app.state
    name = f"{request.scope['path']}?{json.dumps(dict(query.values), sort_keys=True)}"
    body, version = await state.cache.get(name)
    if body is None:
        rows, totals = await asyncio.gather(
            state.database.fetch(resource.table, query.rows, query.values),
            state.database.fetch(resource.table, query.count, query.values),
        )
        total = totals[0]["total"]
        body = _dump({"items": rows, "total": total, "page": page, "page_size": page_size})
        await state.cache.put(name, version, body)
    return Response(body, media_type="application/json")


async def _get(request: Request, resource: catalogue.Resource, key: str) -> Mapping[str, object]:
    rows = await request.app.state.database.fetch(resource.table, catalogue.get_query(resource), {"key": key})
    if not rows:
        raise HTTPException(404, f"there is no {key}")
    row: Mapping[str, object] = rows[0]
    return row


def _json(value: object) -> Response:
    return Response(_dump(value), media_type="application/json")


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_isoformat).encode()


def _isoformat(value: Any) -> str:
    return str(value.isoformat())
