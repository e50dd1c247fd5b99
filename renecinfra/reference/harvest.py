"""One harvest: lists, then the records that are new or changed (or all of them), stored by component."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from prometheus_client import Counter, Gauge, Histogram, Summary

from renecinfra.reference import parsing, runs, storage
from renecinfra.reference.fetching import Breaker, BreakerOpenError, Fetcher, SiteError, Throttle
from renecinfra.reference.register import Centre, Certifier, Standard

if TYPE_CHECKING:
    import httpx

    from renecinfra.reference.settings import Settings

_LOG = logging.getLogger(__name__)
_R = TypeVar("_R", Standard, Certifier, Centre)
_T = TypeVar("_T")
_PATH: Final = "/RENEC/controlador.do"
_TIMEOUT: Final = 30.0
_ERRORS_MAX: Final = 0.2  # of a component's records; more means that the site or its pages have changed
_PAGES_MAX: Final = 2000  # of a list; a list that never ends must not be read for ever

URLS_DISCOVERED = Counter("renec_crawl_urls_discovered_total", "URLs that lists named.")
URLS_VISITED = Counter("renec_crawl_urls_visited_total", "Pages read.", ("session_id", "status_code"))
PAGE_SECONDS = Histogram(
    "renec_crawl_page_duration_seconds", "Time of a response.", buckets=(0.1, 0.5, 1, 2, 5, 10)
)
ITEMS = Counter("renec_harvest_items_extracted_total", "Records extracted.", ("component_type", "status"))
ERRORS = Counter(
    "renec_harvest_extraction_errors_total", "Pages that gave no record.", ("component_type", "error_type")
)
INVALID = Counter(
    "renec_harvest_validation_failures_total", "Fields that were wrong.", ("component_type", "field")
)
SECONDS = Summary("renec_harvest_duration_seconds", "Time of a component's harvest.", ("component_type",))
ACTIVE = Gauge("renec_harvest_active_spiders", "Harvests running.", multiprocess_mode="livesum")


class HarvestError(Exception):
    """A harvest that cannot be finished."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a harvest. ``retry_in`` is set, in seconds, where it is worth another try."""

    status: Literal["succeeded", "failed", "skipped"]
    run_id: int | None
    detail: str
    retry_in: float | None = None


def run(
    settings: Settings,
    *,
    asker: runs.Asker,
    mode: runs.Mode,
    first: bool = False,
    transport: httpx.AsyncBaseTransport | None = None,
    backoff: float = 1.0,
) -> Outcome:
    """Harvest once and record it in harvest_runs, whatever happens to it.

    Raises:
        psycopg.Error: the database cannot be reached or refused; the run is closed if that is possible.
    """
    with storage.connect(settings.database_url) as connection:
        begun = runs.begin(connection, asker, mode, first=first)
        if isinstance(begun, runs.Skipped):
            again = runs.STALE_SECONDS if begun.reason == "delivered-twice" else None
            return Outcome("skipped", None, begun.reason, again)
        ACTIVE.inc()
        try:
            harvest = _Harvest(settings, connection, begun, mode, backoff)
            asyncio.run(harvest.run(transport))
        except (SiteError, HarvestError) as error:
            runs.finish(connection, begun, "failed", str(error))
            retry = error.seconds if isinstance(error, BreakerOpenError) else None
            return Outcome("failed", begun, str(error), retry)
        except BaseException as error:
            # A time limit, a lost database, a bug, or the worker is told to go (which is no Exception): say
            # so in the run where that is still possible.
            status: Literal["failed", "interrupted"] = (
                "failed" if isinstance(error, Exception) else "interrupted"
            )
            if not connection.closed and not connection.broken:
                runs.finish(connection, begun, status, type(error).__name__)
            raise
        finally:
            ACTIVE.dec()
        runs.finish(connection, begun, "succeeded", None)
        return Outcome("succeeded", begun, f"{harvest.requests} requests, {harvest.errors} errors")


class _Harvest:
    """The state of one run."""

    def __init__(
        self,
        settings: Settings,
        connection: storage.Connection,
        run_id: int,
        mode: runs.Mode,
        backoff: float,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._run_id = run_id
        self._mode = mode
        self._backoff = backoff
        self._fetched: list[storage.Fetched] = []
        self.requests = 0
        self.errors = 0

    async def run(self, transport: httpx.AsyncBaseTransport | None) -> None:
        import httpx

        settings = self._settings
        headers = {"User-Agent": settings.user_agent}
        # Nothing of the machine's proxies or certificates: what is fetched depends on the settings alone.
        async with httpx.AsyncClient(
            headers=headers, timeout=_TIMEOUT, follow_redirects=True, trust_env=False, transport=transport
        ) as client:
            fetcher = Fetcher(
                client,
                Throttle(settings.download_delay, settings.max_concurrent_requests),
                Breaker(),
                user_agent=settings.user_agent,
                on_fetched=self._on_fetched,
                backoff=self._backoff,
            )
            await self._alive(self._read(fetcher))
        self._flush()

    async def _alive(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work while heartbeats go out; whichever fails ends both."""
        beat, reading = asyncio.ensure_future(self._beat()), asyncio.ensure_future(work)
        try:
            await asyncio.wait({beat, reading}, return_when=asyncio.FIRST_COMPLETED)
            (reading if reading.done() else beat).result()
        finally:
            beat.cancel()
            reading.cancel()
            await asyncio.gather(beat, reading, return_exceptions=True)

    async def _read(self, fetcher: Fetcher) -> None:
        if self._settings.respect_robots_txt:
            await fetcher.read_robots(self._settings.base_url)
        await self._components(fetcher)

    async def _components(self, fetcher: Fetcher) -> None:
        sectors = _expect(parsing.parse_sectors, await fetcher.get(self._url("SEC")))
        committees = _expect(parsing.parse_committees, await fetcher.get(self._url("COM")))
        committees = tuple(item for item in committees if item.sector_id in sectors)
        storage.upsert_lists(self._connection, sectors, committees)
        comites = {item.comite_id for item in committees}
        with _measured("standards"):
            standards = await self._records(fetcher, "standards", "EC", "ECD", parsing.parse_standard)
            known = [s for s in standards if s.sector_id in sectors and s.comite_id in comites]
            if len(known) < len(standards):
                INVALID.labels("standards", "sector_id").inc(len(standards) - len(known))
            storage.copy_standards(self._connection, self._run_id, known)
        with _measured("certifiers"):
            certifiers = await self._records(fetcher, "certifiers", "ECE", "ECED", parsing.parse_certifier)
            storage.copy_certifiers(self._connection, self._run_id, certifiers)
        with _measured("centres"):
            centres = await self._records(fetcher, "centres", "CE", "CED", parsing.parse_centre)
            storage.copy_centres(self._connection, self._run_id, centres)

    async def _records(
        self,
        fetcher: Fetcher,
        component: storage.Component,
        index: str,
        detail: str,
        parse: Callable[[str], _R],
    ) -> Sequence[_R]:
        """The component's records that have to be read: all, or those whose revision is not known."""
        listed = await self._list(fetcher, index)
        URLS_DISCOVERED.inc(len(listed))
        known = {} if self._mode == "full" else storage.revisions(self._connection, component)
        wanted = sorted(key for key, revision in listed.items() if known.get(key) != revision)
        records: list[_R] = []
        failures = 0

        async def read(key: str) -> None:
            nonlocal failures
            record = await self._record(fetcher, component, key, self._url(detail, clave=key), parse)
            if record is None:
                failures += 1
            else:
                records.append(record)

        try:
            async with asyncio.TaskGroup() as group:
                for key in wanted:
                    group.create_task(read(key))
        except* SiteError as errors:
            raise _first(errors) from None
        if failures > max(1, len(wanted) * _ERRORS_MAX):
            raise HarvestError(f"{failures} of {len(wanted)} {component} gave no record")
        return records

    async def _list(self, fetcher: Fetcher, index: str) -> dict[str, int]:
        listed: dict[str, int] = {}
        for number in range(1, _PAGES_MAX + 1):
            page = _expect(parsing.parse_index, await fetcher.get(self._url(index, pagina=str(number))))
            listed.update(page.revisions)
            if not page.has_next:
                return listed
        raise HarvestError(f"the list {index} has more than {_PAGES_MAX} pages")

    async def _record(
        self, fetcher: Fetcher, component: str, key: str, url: str, parse: Callable[[str], _R]
    ) -> _R | None:
        """A record, or none where its page is missing or wrong; a site that is down is raised."""
        try:
            record = parse(await fetcher.get(url))
            if storage.key_of(record) != key:
                raise parsing.ParseError("Clave", f"the page is not that of {key}")
        except parsing.ParseError as error:
            INVALID.labels(component, error.field).inc()
            ERRORS.labels(component, "parse").inc()
            ITEMS.labels(component, "invalid").inc()
            _LOG.warning("%s: %s", url, error)
        except BreakerOpenError:
            raise
        except SiteError as error:
            ERRORS.labels(component, "fetch").inc()
            _LOG.warning("%s", error)
        else:
            ITEMS.labels(component, "ok").inc()
            return record
        self.errors += 1
        return None

    def _url(self, component: str, **query: str) -> str:
        from urllib.parse import urlencode

        return f"{self._settings.base_url}{_PATH}?{urlencode({'comp': component, **query})}"

    def _on_fetched(self, fetched: storage.Fetched) -> None:
        self.requests += fetched.attempts
        self._fetched.append(fetched)
        URLS_VISITED.labels(str(self._run_id), str(fetched.status_code)).inc()
        PAGE_SECONDS.observe(fetched.seconds)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(runs.HEARTBEAT_SECONDS)
            self._flush()

    def _flush(self) -> None:
        """Say that the run is alive, and keep what was fetched since the last time."""
        fetched, self._fetched = self._fetched, []
        if not runs.heartbeat(self._connection, self._run_id, self.requests, self.errors):
            raise HarvestError("the run was taken for dead and closed")
        storage.copy_crawl_map(self._connection, self._run_id, fetched)


def _expect(parse: Callable[[str], _T], html: str) -> _T:
    """A list that the whole harvest depends on."""
    try:
        return parse(html)
    except parsing.ParseError as error:
        raise HarvestError(str(error)) from error


def _first(errors: BaseExceptionGroup[SiteError]) -> SiteError:
    """The error to report: an open breaker explains the others."""
    leaves = [error for error in errors.exceptions if isinstance(error, SiteError)]
    return next((error for error in leaves if isinstance(error, BreakerOpenError)), leaves[0])


@contextmanager
def _measured(component: str) -> Iterator[None]:
    with SECONDS.labels(component).time():
        yield
