"""The recovery target: exactly one, and a time that means one moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renecinfra.errors import UsageError
from renecinfra.recovery import targets
from renecinfra.recovery.targets import (
    BackupTarget,
    LatestTarget,
    LsnTarget,
    RestorePointTarget,
    TimeTarget,
    XidTarget,
    choose_target,
    parse_time,
)

NOW = datetime(2026, 11, 25, 3, 4, 5, tzinfo=UTC)
MEXICO = ZoneInfo("America/Mexico_City")
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24 10:31:00 UTC", "2026-11-24T10:31:00"),
        ("2026-11-24T10:31:00Z", "2026-11-24T10:31:00"),
        ("2026-11-24 10:31", "2026-11-24T16:31:00"),
        ("2026-11-24 10:31:00.250+01:00", "2026-11-24T09:31:00.250000"),
        ("2026-11-24T10:31:00-0600", "2026-11-24T16:31:00"),
        ("2026-11-24 10:31:00 Europe/Madrid", "2026-11-24T09:31:00"),
        ("2026-11-24 10:31:00.123456 UTC+2".replace("+2", "+02"), "2026-11-24T08:31:00.123456"),
        ("yesterday 14:05", "2026-11-23T20:05:00"),
        ("today 02:05 UTC", "2026-11-25T02:05:00"),
        ("2:05 am UTC", "2026-11-25T02:05:00"),
        ("12:00 pm UTC", "2026-11-25T12:00:00"),
        ("12:00 AM UTC", "2026-11-25T00:00:00"),
        ("20:59", "2026-11-25T02:59:00"),
        ("10 minutes ago", "2026-11-25T02:54:05"),
        ("an hour ago", "2026-11-25T02:04:05"),
        ("1h 30m ago", "2026-11-25T01:34:05"),
        ("2 days and 3 hours ago", "2026-11-23T00:04:05"),
        ("1.5 hours ago", "2026-11-25T01:34:05"),
        ("  90   sec   ago ", "2026-11-25T03:02:35"),
    ],
)
def test_times_as_people_write_them(text, expected):
    assert parse_time(text, now=NOW, zone=MEXICO) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("03/04/2026 10:00", "YYYY-MM-DD"),
        ("2026-11-24", "no time of day"),
        ("yesterday", "not a moment"),
        ("now", "--latest"),
        ("2026-02-30 10:00", "day"),
        ("2026-11-24 25:00", "hour"),
        ("13:00 pm", "am and pm"),
        ("2026-11-24 10:00 CST", "abbreviations"),
        ("2026-11-24 10:00 Mars/Olympus", "knows no time zone"),
        ("2026-11-24 10:00 +19:00", "no zone is"),
        ("ten parsecs ago", "parsecs"),
        ("0 minutes ago", "no duration"),
        ("soon", "no time of day"),
        ("", "no time of day"),
    ],
)
def test_what_is_no_moment_is_refused(text, why):
    with pytest.raises(UsageError) as caught:
        parse_time(text, now=NOW, zone=MEXICO)
    assert why in caught.value.message
    assert "10 minutes ago" in caught.value.hint


def test_an_hour_that_came_twice_is_refused_with_both_readings():
    with pytest.raises(UsageError) as caught:
        parse_time("2026-11-01 01:30", now=NOW, zone=NEW_YORK)
    assert "05:30:00 UTC or 2026-11-01 06:30:00 UTC" in caught.value.message
    assert parse_time("2026-11-01 01:30 -04:00", zone=NEW_YORK).hour == 5


def test_an_hour_that_never_was_is_refused():
    with pytest.raises(UsageError, match="never was"):
        parse_time("2026-03-08 02:30", now=NOW, zone=NEW_YORK)


def test_an_hour_that_comes_twice_elsewhere_is_refused_there():
    with pytest.raises(UsageError, match="twice"):
        parse_time("2026-11-01 01:30 America/New_York", now=NOW, zone=UTC)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_what_is_shown_is_read_as_the_same_moment(naive, offset):
    from datetime import timezone

    at = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))
    assert parse_time(targets.show(at), now=NOW, zone=MEXICO) == at


def test_a_time_is_shown_in_utc_and_in_local_time():
    target = choose_target(to="2026-11-24 10:31", now=NOW, zone=MEXICO)
    assert target.describe(MEXICO) == "2026-11-24 16:31:00 UTC (2026-11-24 10:31:00 -06:00 local)"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"latest": True}, LatestTarget()),
        ({"backup": "20261124-013000F"}, BackupTarget("20261124-013000F")),
        ({"backup": "20261124-013000F_20261124-053000I"}, BackupTarget("20261124-013000F_20261124-053000I")),
        ({"lsn": "0/3000148"}, LsnTarget("0/3000148")),
        ({"lsn": "1a/ff"}, LsnTarget("1A/FF")),
        ({"xid": "742"}, XidTarget(742)),
        ({"restore_point": "before-migration-12"}, RestorePointTarget("before-migration-12")),
        ({"to": "1 minute ago", "now": NOW}, TimeTarget(NOW - timedelta(minutes=1), "1 minute ago")),
    ],
)
def test_one_target(options, expected):
    assert choose_target(**options) == expected


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"latest": True, "xid": "742"},
        {"to": "1 minute ago", "backup": "20261124-013000F"},
        {"backup": "latest"},
        {"backup": "20261124-013000F; rm -rf /"},
        {"lsn": "3000148"},
        {"lsn": "0/3000148'"},
        {"xid": "2"},
        {"xid": "-5"},
        {"xid": str(2**32)},
        {"xid": "٣٣"},
        {"restore_point": ""},
        {"restore_point": "it's"},
        {"restore_point": "x" * 64},
    ],
)
def test_none_or_several_or_malformed_targets_are_refused(options):
    with pytest.raises(UsageError) as caught:
        choose_target(**options)
    assert caught.value.id == "restore-target"
    assert caught.value.hint
