"""Polite requests: a delay, a cap on concurrency, robots.txt, retries with backoff, and a breaker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.robotparser import RobotFileParser

from renecinfra.reference.storage import Fetched

if TYPE_CHECKING:
    import httpx

RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
RETRIES: Final = 3
BACKOFF: Final = 1.0
"""Seconds before the first retry; doubles with each one."""
_RETRY_AFTER_MAX: Final = 120.0

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class SiteError(Exception):
    """The site could not be read."""


class BreakerOpenError(SiteError):
    """The site failed too often in a row; ask again in ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the site failed too often in a row; it is left alone for {seconds:.0f} s")
        self.seconds = seconds


class RobotsError(SiteError):
    """robots.txt forbids the page, or cannot be read, which counts as forbidding everything (RFC 9309)."""


@dataclass(slots=True)
class Breaker:
    """Opens after ``threshold`` failed attempts in a row and stays open for ``cooldown`` seconds."""

    threshold: int = 5
    cooldown: float = 300.0
    clock: Clock = time.monotonic
    _failures: int = 0
    _opened: float | None = None

    def check(self) -> None:
        """Let a request through or raise BreakerOpenError. After the cool-down, one failure opens it."""
        if self._opened is None:
            return
        remaining = self._opened + self.cooldown - self.clock()
        if remaining > 0:
            raise BreakerOpenError(remaining)
        self._opened = None
        self._failures = self.threshold - 1

    def succeeded(self) -> None:
        """The site answered."""
        self._failures = 0

    def failed(self) -> None:
        """An attempt failed."""
        self._failures += 1
        if self._failures >= self.threshold and self._opened is None:
            self._opened = self.clock()


@dataclass(slots=True)
class Throttle:
    """Spaces the starts of requests by ``delay`` seconds and lets at most ``concurrency`` run at a time."""

    delay: float
    concurrency: int
    clock: Clock = time.monotonic
    sleep: Sleep = asyncio.sleep
    _next: float = 0.0
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.concurrency)

    async def __aenter__(self) -> None:
        """Wait for a slot, then for the turn."""
        await self._slots.acquire()
        now = self.clock()
        turn = max(now, self._next)
        self._next = turn + self.delay
        try:
            await self.sleep(turn - now)
        except BaseException:
            self._slots.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Give the slot back."""
        self._slots.release()


class Fetcher:
    """Reads pages of one site. ``on_fetched`` is told of every page, when it is read or given up."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        throttle: Throttle,
        breaker: Breaker,
        *,
        user_agent: str,
        on_fetched: Callable[[Fetched], None],
        backoff: float = BACKOFF,
    ) -> None:
        self._client = client
        self._throttle = throttle
        self._breaker = breaker
        self._user_agent = user_agent
        self._on_fetched = on_fetched
        self._backoff = backoff
        self._robots: RobotFileParser | None = None

    async def read_robots(self, base_url: str) -> None:
        """Obey the site's robots.txt from now on, and its crawl delay where that is longer than ours.

        Raises:
            RobotsError: it cannot be read.
        """
        url = f"{base_url}/robots.txt"
        response, fetched = await self._attempt_often(url)
        self._on_fetched(fetched)
        if response is None or response.status_code >= 500:
            raise RobotsError(f"robots.txt cannot be read (status {fetched.status_code})")
        robots = RobotFileParser()
        robots.parse(response.text.splitlines() if response.status_code == 200 else [])
        self._robots = robots
        delay = robots.crawl_delay(self._user_agent)
        if delay is not None:
            self._throttle.delay = max(self._throttle.delay, float(delay))

    async def get(self, url: str) -> str:
        """A page's text.

        Raises:
            SiteError: it is forbidden, missing, failed with every retry, or the breaker is open.
        """
        if self._robots is not None and not self._robots.can_fetch(self._user_agent, url):
            raise RobotsError(f"robots.txt forbids {url}")
        response, fetched = await self._attempt_often(url)
        self._on_fetched(fetched)
        if response is None or response.status_code != 200:
            raise SiteError(f"{url} answered with status {fetched.status_code}")
        return response.text

    async def _attempt_often(self, url: str) -> tuple[httpx.Response | None, Fetched]:
        """The last response after the retries; none, and status 0, where there was no connection."""
        for attempt in range(1 + RETRIES):
            response, seconds = await self._attempt(url)
            status = response.status_code if response is not None else 0
            fetched = Fetched(url, status, seconds, attempt + 1)
            if response is not None and status not in RETRIED:
                break
            if attempt < RETRIES:
                wait = self._backoff * 2**attempt
                await self._throttle.sleep(max(wait, retry_after(response) if response is not None else 0.0))
        return response, fetched

    async def _attempt(self, url: str) -> tuple[httpx.Response | None, float]:
        import httpx

        async with self._throttle:
            self._breaker.check()
            start = time.monotonic()
            response = None
            try:
                response = await self._client.get(url)
            except httpx.TransportError:
                self._breaker.failed()
            else:
                self._breaker.failed() if response.status_code in RETRIED else self._breaker.succeeded()
            return response, time.monotonic() - start


def retry_after(response: httpx.Response) -> float:
    """Seconds that the site asks to wait (a number or a date), at most two minutes; 0 where it says none."""
    text = response.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(float(text), _RETRY_AFTER_MAX)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return 0.0
    return min(max(moment - time.time(), 0.0), _RETRY_AFTER_MAX)
