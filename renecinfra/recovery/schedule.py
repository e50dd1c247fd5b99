"""When what is due: cron schedules of five fields in UTC, as the profile has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Final

from renecinfra.recovery.protected import Policy

_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_PAUSES: Final = 100
_SOME_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SEARCH_DAYS: Final = 366 * 8  # the 29th of February, over a century that has none


class Job(StrEnum):
    """What the service does unattended, the most urgent first."""

    FULL = "full"
    INCREMENTAL = "incremental"
    VERIFY = "verify"
    DRILL = "drill"


@dataclass(frozen=True)
class Cron:
    """A schedule. As cron has it, a day must match either its field or that of weekdays where both are
    given."""

    text: str

    @cached_property
    def _fields(self) -> tuple[frozenset[int], ...]:
        parts = self.text.split()
        if len(parts) != len(_RANGES):
            raise ValueError(f"{self.text!r} is no cron schedule of five fields")
        return tuple(_numbers(part, *limits) for part, limits in zip(parts, _RANGES, strict=True))

    def _day_matches(self, moment: datetime) -> bool:
        _, _, days, months, weekdays = self._fields
        if moment.month not in months:
            return False
        by_day = moment.day in days
        by_weekday = moment.isoweekday() % 7 in {number % 7 for number in weekdays}
        _, _, day_text, _, weekday_text = self.text.split()
        if day_text.startswith("*") or weekday_text.startswith("*"):
            return by_day and by_weekday
        return by_day or by_weekday

    def last(self, now: datetime) -> datetime | None:
        """The newest scheduled moment that is not after ``now``; None where there never was one."""
        minutes, hours = sorted(self._fields[0], reverse=True), sorted(self._fields[1], reverse=True)
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        for back in range(_SEARCH_DAYS):
            candidate = day - timedelta(days=back)
            if not self._day_matches(candidate):
                continue
            for hour in hours:
                for minute in minutes:
                    moment = candidate.replace(hour=hour, minute=minute)
                    if moment <= now:
                        return moment
        return None

    def next(self, now: datetime) -> datetime | None:
        """The first scheduled moment after ``now``; None where there never will be one."""
        minutes, hours = sorted(self._fields[0]), sorted(self._fields[1])
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        for forward in range(_SEARCH_DAYS):
            candidate = day + timedelta(days=forward)
            if not self._day_matches(candidate):
                continue
            for hour in hours:
                for minute in minutes:
                    moment = candidate.replace(hour=hour, minute=minute)
                    if moment > now:
                        return moment
        return None


@lru_cache(maxsize=32)
def cron(text: str) -> Cron:
    """The schedule of a text."""
    return Cron(text)


@lru_cache(maxsize=32)
def longest_pause(text: str) -> timedelta:
    """The longest time between two of a schedule's moments, as far as its next hundred show."""
    moments = [_SOME_DAY]
    for _ in range(_PAUSES):
        following = cron(text).next(moments[-1])
        if following is None:
            break
        moments.append(following)
    pauses = [b - a for a, b in pairwise(moments[1:])]
    return max(pauses, default=timedelta(days=366))


def _numbers(part: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for piece in part.split(","):
        span, _, step = piece.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = (int(number) for number in span.split("-"))
        else:
            first = int(span)
            last = high if step else first
        found.update(range(first, last + 1, int(step or 1)))
    return frozenset(found)


def due(policy: Policy, now: datetime, done: Mapping[Job, datetime], *, wal_bytes: int | None) -> Job | None:
    """The most urgent job that is due: its scheduled moment has passed since it was last begun.

    What was missed while nothing ran is made up for once, not once for each time. ``wal_bytes`` is how much
    WAL was written since the last backup. A full backup counts as an incremental one.
    """
    schedules = {
        Job.FULL: policy.full,
        Job.INCREMENTAL: policy.incremental,
        Job.VERIFY: policy.verify,
        Job.DRILL: policy.drill,
    }
    if (
        wal_bytes is not None
        and wal_bytes >= policy.incremental_wal
        and not _is_due(policy.full, now, done, Job.FULL)
    ):
        return Job.INCREMENTAL
    for job, text in schedules.items():
        if text is not None and _is_due(text, now, done, job):
            return job
    return None


def _is_due(text: str, now: datetime, done: Mapping[Job, datetime], job: Job) -> bool:
    scheduled = cron(text).last(now)
    begun = done.get(job)
    if job is Job.INCREMENTAL:
        begun = max((at for one in (Job.FULL, job) if (at := done.get(one)) is not None), default=None)
    return scheduled is not None and begun is not None and begun < scheduled
