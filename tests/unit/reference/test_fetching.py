"""Politeness, retries and the breaker, on a clock that does not wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate

import httpx
import pytest

from renecinfra.reference.fetching import (
    Breaker,
    BreakerOpenError,
    Fetcher,
    RobotsError,
    SiteError,
    Throttle,
    retry_after,
)
from renecinfra.reference.storage import Fetched


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def fetch(
    answers: Callable[[httpx.Request], httpx.Response],
    url: str = "http://site/page",
    *,
    breaker: Breaker | None = None,
    robots: bool = False,
) -> tuple[str, list[Fetched], Clock]:
    clock, fetched = Clock(), []

    async def run() -> str:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answers)) as client:
            throttle = Throttle(0.0, 2, clock=clock, sleep=clock.sleep)
            fetcher = Fetcher(
                client, throttle, breaker or Breaker(clock=clock), user_agent="us", on_fetched=fetched.append
            )
            if robots:
                await fetcher.read_robots("http://site")
            return await fetcher.get(url)

    return asyncio.run(run()), fetched, clock


def sequence(*statuses: int, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    left = list(statuses)
    return lambda _: httpx.Response(left.pop(0), text="text", headers=headers)


def test_requests_start_no_faster_than_the_delay() -> None:
    clock = Clock()
    starts: list[float] = []

    async def one(throttle: Throttle) -> None:
        async with throttle:
            starts.append(clock.now)

    async def run() -> None:
        throttle = Throttle(0.5, 5, clock=clock, sleep=clock.sleep)
        for _ in range(4):
            await one(throttle)

    asyncio.run(run())
    assert starts == [100.0, 100.5, 101.0, 101.5]


def test_no_more_run_at_a_time_than_the_cap() -> None:
    running = most = 0

    async def one(throttle: Throttle) -> None:
        nonlocal running, most
        async with throttle:
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1

    async def run() -> None:
        throttle = Throttle(0.0, 3)
        await asyncio.gather(*(one(throttle) for _ in range(12)))

    asyncio.run(run())
    assert most == 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again_with_growing_pauses(status: int) -> None:
    text, [fetched], clock = fetch(sequence(status, status, 200))
    assert (text, fetched.status_code, fetched.attempts) == ("text", 200, 3)
    assert [pause for pause in clock.slept if pause] == [1.0, 2.0]


def test_three_retries_and_no_more() -> None:
    with pytest.raises(SiteError, match="503"):
        fetch(sequence(503, 503, 503, 503, 200))


@pytest.mark.parametrize("status", [404, 403, 501])
def test_a_lasting_failure_is_not_tried_again(status: int) -> None:
    with pytest.raises(SiteError, match=str(status)):
        fetch(sequence(status))


def test_a_lost_connection_is_tried_again() -> None:
    calls: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(1)
        if len(calls) == 1:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, text="text")

    assert fetch(answer)[0] == "text"


def test_the_site_may_ask_for_a_longer_pause() -> None:
    _, _, clock = fetch(sequence(503, 200, **{"retry-after": "7"}))
    assert 7.0 in clock.slept


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("", 0, 0), ("5", 5, 5), ("999999", 120, 120), ("soon", 0, 0), ("-1", 0, 0), ("²", 0, 0)],
)
def test_retry_after_is_seconds(header: str, least: float, most: float) -> None:
    headers = [(b"retry-after", header.encode("latin-1"))]
    assert least <= retry_after(httpx.Response(503, headers=headers)) <= most


def test_retry_after_may_be_a_date() -> None:
    later = httpx.Response(503, headers={"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert 25 < retry_after(later) <= 30
    assert retry_after(httpx.Response(503, headers={"retry-after": formatdate(0, usegmt=True)})) == 0


def test_the_breaker_opens_after_five_failures_and_lets_one_through_after_its_cooldown() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    for _ in range(4):
        breaker.failed()
    breaker.succeeded()
    for _ in range(5):
        breaker.check()
        breaker.failed()
    with pytest.raises(BreakerOpenError) as caught:
        breaker.check()
    assert caught.value.seconds == 300
    clock.now += 300
    breaker.check()
    breaker.failed()
    with pytest.raises(BreakerOpenError):
        breaker.check()
    clock.now += 300
    breaker.check()
    breaker.succeeded()
    for _ in range(4):
        breaker.failed()
    breaker.check()


def test_an_open_breaker_stops_the_retries() -> None:
    breaker = Breaker(threshold=2)
    with pytest.raises(BreakerOpenError):
        fetch(sequence(503, 503, 503, 503), breaker=breaker)


def robots(text: str, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/robots.txt":
            return httpx.Response(status, text=text)
        return httpx.Response(200, text="text")

    return answer


def test_robots_txt_is_obeyed() -> None:
    rules = "User-agent: *\nDisallow: /private\n"
    assert fetch(robots(rules), robots=True)[0] == "text"
    with pytest.raises(RobotsError, match="forbids"):
        fetch(robots(rules), "http://site/private/x", robots=True)
    assert fetch(robots(rules), "http://site/private/x")[0] == "text"  # not asked to


def test_a_missing_robots_txt_allows_and_a_broken_one_forbids() -> None:
    assert fetch(robots("", 404), robots=True)[0] == "text"
    with pytest.raises(RobotsError, match="cannot be read"):
        fetch(robots("", 500), robots=True)


def test_a_longer_crawl_delay_is_kept() -> None:
    async def run() -> float:
        throttle = Throttle(0.5, 1)
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(robots("User-agent: *\nCrawl-delay: 9"))
        ) as client:
            fetcher = Fetcher(client, throttle, Breaker(), user_agent="us", on_fetched=lambda _: None)
            await fetcher.read_robots("http://site")
        return throttle.delay

    assert asyncio.run(run()) == 9
