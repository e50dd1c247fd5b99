"""Cron schedules, and what is due of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renecinfra.recovery.protected import Policy
from renecinfra.recovery.schedule import Cron, Job, due, longest_pause

# A Wednesday.
NOW = datetime(2026, 11, 25, 10, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "last", "following"),
    [
        ("30 1 * * *", datetime(2026, 11, 25, 1, 30), datetime(2026, 11, 26, 1, 30)),
        ("15 * * * *", datetime(2026, 11, 25, 10, 15), datetime(2026, 11, 25, 11, 15)),
        ("*/10 * * * *", datetime(2026, 11, 25, 10, 20), datetime(2026, 11, 25, 10, 30)),
        ("0 4 * * 0", datetime(2026, 11, 22, 4), datetime(2026, 11, 29, 4)),
        ("0 4 * * 7", datetime(2026, 11, 22, 4), datetime(2026, 11, 29, 4)),
        ("0 0 1 * *", datetime(2026, 11, 1), datetime(2026, 12, 1)),
        ("0 0 29 2 *", datetime(2024, 2, 29), datetime(2028, 2, 29)),
        ("0 8-18/5 * * *", datetime(2026, 11, 25, 8), datetime(2026, 11, 25, 13)),
        ("0 0 13 * 5", datetime(2026, 11, 20), datetime(2026, 11, 27)),
        ("5,50 23 31 12 *", datetime(2025, 12, 31, 23, 50), datetime(2026, 12, 31, 23, 5)),
    ],
)
def test_moments(text: str, last: datetime, following: datetime) -> None:
    assert Cron(text).last(NOW) == last.replace(tzinfo=UTC)
    assert Cron(text).next(NOW) == following.replace(tzinfo=UTC)


def test_a_day_that_never_comes() -> None:
    assert Cron("0 0 31 2 *").next(NOW) is None
    assert Cron("0 0 31 2 *").last(NOW) is None


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.integers(0, 59), st.integers(0, 23))
def test_the_next_moment_is_the_last_one_then(when: datetime, minute: int, hour: int) -> None:
    schedule = Cron(f"{minute} {hour} * * *")
    following = schedule.next(when.replace(tzinfo=UTC))
    assert following is not None
    assert schedule.last(following) == following


def test_pauses() -> None:
    assert longest_pause("15 * * * *") == timedelta(hours=1)
    assert longest_pause("0 4 * * 0") == timedelta(days=7)
    assert longest_pause("0 6,8 * * *") == timedelta(hours=22)


def done(**minutes_ago: float) -> dict[Job, datetime]:
    base = dict.fromkeys(Job, NOW)
    return base | {Job(name): NOW - timedelta(minutes=minutes) for name, minutes in minutes_ago.items()}


def test_nothing_is_due_right_after_everything(policy: Policy) -> None:
    assert due(policy, NOW, done(), wal_bytes=0) is None


def test_what_was_missed_is_made_up_for_once(policy: Policy) -> None:
    days = 3 * 24 * 60
    assert due(policy, NOW, done(full=days, incremental=days), wal_bytes=0) is Job.FULL
    assert due(policy, NOW, done(incremental=days), wal_bytes=0) is None  # the full one counts
    assert due(policy, NOW, done(full=60, incremental=60), wal_bytes=0) is Job.INCREMENTAL
    assert due(policy, NOW, done(verify=days), wal_bytes=0) is Job.VERIFY
    assert due(policy, NOW, done(drill=7 * 24 * 60), wal_bytes=0) is Job.DRILL
    never = replace(policy, drill=None)
    assert due(never, NOW, done(drill=7 * 24 * 60), wal_bytes=0) is None


def test_much_wal_makes_an_incremental_backup_due(policy: Policy) -> None:
    assert due(policy, NOW, done(), wal_bytes=policy.incremental_wal) is Job.INCREMENTAL
    assert due(policy, NOW, done(), wal_bytes=None) is None


def test_a_new_environment_waits_for_its_first_moments(policy: Policy) -> None:
    assert due(policy, NOW, {}, wal_bytes=0) is None
