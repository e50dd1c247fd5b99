"""The point to restore to: exactly one, and never one that could mean two things. Pure.

A time may be written as people write it. What it was taken for is shown in UTC and in local time before
anything happens; what could be read in two ways is refused, with the readings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from renecinfra.errors import UsageError

_FORMS: Final = (
    "write it as '2026-11-24 10:31:00 UTC', '2026-11-24T10:31:00.250-06:00', '10:31' (today), "
    "'yesterday 10:31 America/Mexico_City' or '10 minutes ago'"
)
_UNITS: Final = {
    "second": "seconds", "sec": "seconds", "s": "seconds",
    "minute": "minutes", "min": "minutes", "m": "minutes",
    "hour": "hours", "h": "hours",
    "day": "days", "d": "days",
    "week": "weeks", "w": "weeks",
}  # fmt: skip
_NUMBERS: Final = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "five": 5, "ten": 10}
_AGO_PART: Final = re.compile(r"(\d+(?:\.\d+)?|an?|one|two|three|five|ten)\s*([a-z]+)")
_CLOCK: Final = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,6}))?)?"
    r"\s*(?P<half>(?:am|pm)\b)?",
    re.IGNORECASE,
)
_DATE: Final = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})")
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})?", re.IGNORECASE)
_LSN: Final = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}", re.IGNORECASE)
_BACKUP: Final = re.compile(r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?")
# RDS's own snapshots begin with "rds:", AWS Backup's with "awsbackup:"; none is ever part of a command.
_SNAPSHOT: Final = re.compile(r"(?:[a-z]+:)?[A-Za-z][A-Za-z0-9-]{0,254}")
_RESTORE_POINT: Final = re.compile(r"[\w.:+@-]{1,63}")
# Below 3 are bootstrap's own; a transaction id has 32 bits.
_XID_MIN, _XID_MAX = 3, 2**32 - 1


@dataclass(frozen=True, slots=True)
class TimeTarget:
    """Everything that was committed up to and including ``at`` (UTC, to the microsecond)."""

    at: datetime
    said: str

    def describe(self, zone: tzinfo | None = None) -> str:
        """The moment in UTC and in ``zone`` (local time, when None)."""
        local = self.at.astimezone(zone)
        return f"{show(self.at)} ({show(local)} local)"


@dataclass(frozen=True, slots=True)
class LatestTarget:
    """Everything that can still be had."""

    def describe(self, zone: tzinfo | None = None) -> str:  # noqa: ARG002 - as the others
        """In words."""
        return "the newest state that can still be had"


@dataclass(frozen=True, slots=True)
class BackupTarget:
    """The state at the end of one backup, by its label."""

    label: str

    def describe(self, zone: tzinfo | None = None) -> str:  # noqa: ARG002 - as the others
        """In words."""
        return f"the end of backup {self.label}"


@dataclass(frozen=True, slots=True)
class LsnTarget:
    """Everything up to and including a place in the WAL, such as ``0/3000148``."""

    lsn: str

    def describe(self, zone: tzinfo | None = None) -> str:  # noqa: ARG002 - as the others
        """In words."""
        return f"WAL position {self.lsn}"


@dataclass(frozen=True, slots=True)
class XidTarget:
    """Everything up to and including the commit of one transaction."""

    xid: int

    def describe(self, zone: tzinfo | None = None) -> str:  # noqa: ARG002 - as the others
        """In words."""
        return f"the commit of transaction {self.xid}"


@dataclass(frozen=True, slots=True)
class RestorePointTarget:
    """A restore point by its name; renecinfra makes one before every change of its own."""

    name: str

    def describe(self, zone: tzinfo | None = None) -> str:  # noqa: ARG002 - as the others
        """In words."""
        return f"restore point {self.name}"


RecoveryTarget = TimeTarget | LatestTarget | BackupTarget | LsnTarget | XidTarget | RestorePointTarget


def choose_target(
    *,
    to: str | None = None,
    latest: bool = False,
    backup: str | None = None,
    lsn: str | None = None,
    xid: str | None = None,
    restore_point: str | None = None,
    snapshots: bool = False,
    now: datetime | None = None,
    zone: tzinfo | None = None,
) -> RecoveryTarget:
    """The one target that the options name.

    Args:
        to: a time, as :func:`parse_time` reads it.
        latest: whether the newest state is asked for.
        backup: a backup's label.
        lsn: a place in the WAL.
        xid: a transaction's id.
        restore_point: a restore point's name.
        snapshots: whether a backup is a snapshot of RDS, by its identifier.
        now: the present, with its zone.
        zone: what a time without a zone is in; the machine's own when None.

    Raises:
        UsageError: none is given, more than one is, or it is not of the form that it has to have.
    """
    given: dict[str, Callable[[], RecoveryTarget]] = {}
    if to is not None:
        given["--to"] = lambda: TimeTarget(parse_time(to, now=now, zone=zone), to)
    if latest:
        given["--latest"] = LatestTarget
    if backup is not None:
        given["--backup"] = lambda: BackupTarget(
            _matching(
                _SNAPSHOT if snapshots else _BACKUP,
                backup,
                "--backup",
                "a snapshot's identifier; see `backup ENV list`"
                if snapshots
                else "a label such as 20261124-013000F; see `backup ENV list`",
            )
        )
    if lsn is not None:
        given["--lsn"] = lambda: LsnTarget(
            _matching(_LSN, lsn, "--lsn", "a WAL position such as 0/3000148").upper()
        )
    if xid is not None:
        given["--xid"] = lambda: XidTarget(_xid(xid))
    if restore_point is not None:
        given["--restore-point"] = lambda: RestorePointTarget(
            _matching(_RESTORE_POINT, restore_point, "--restore-point", "a name that `backup ENV list` shows")
        )
    if len(given) != 1:
        what = "no recovery target is given" if not given else f"{' and '.join(given)} are given together"
        raise UsageError(
            "restore-target",
            f"{what}; a restore goes to exactly one",
            hint="give one of --to TIME, --latest, --backup ID, --lsn LSN, --xid XID, --restore-point NAME",
        )
    ((_, make),) = given.items()
    return make()


def parse_time(text: str, *, now: datetime | None = None, zone: tzinfo | None = None) -> datetime:
    """A time as a person writes it, in UTC.

    Args:
        text: a date with a time and a zone; without a zone it is local, without a date today (or, with
            ``yesterday``, the day before) in that zone. Or how long ago: ``10 minutes ago``, ``1h 30m ago``.
        now: the present, with its zone.
        zone: what a time without a zone is in; the machine's own when None.

    Raises:
        UsageError: it cannot be read, or could mean more than one moment.
    """
    present = now or datetime.now(UTC)
    words = " ".join(text.split())
    if words.lower().endswith(" ago"):
        return present.astimezone(UTC) - _duration(words[:-4].lower(), text)
    if words.lower() in ("now", "today", "yesterday"):
        raise _unreadable(text, "a day is not a moment" if words.lower() != "now" else "use --latest")
    return _absolute(words, text, present, zone)


def show(at: datetime) -> str:
    """A moment for people: with its zone, and its fraction where it has one."""
    precision = "microseconds" if at.microsecond else "seconds"
    name = at.strftime("%z")
    zone = "UTC" if at.utcoffset() == timedelta(0) else f"{name[:3]}:{name[3:]}"
    return f"{at.replace(tzinfo=None).isoformat(' ', precision)} {zone}"


def _unreadable(text: str, why: str) -> UsageError:
    return UsageError("restore-time", f"the time {text!r} cannot be used: {why}", hint=_FORMS)


def _duration(words: str, text: str) -> timedelta:
    total, rest = timedelta(), words.replace(" and ", " ")
    while rest := rest.lstrip(" ,"):
        match = _AGO_PART.match(rest)
        unit = _UNITS.get(match[2], _UNITS.get(match[2].removesuffix("s"))) if match else None
        if match is None or unit is None:
            raise _unreadable(text, f"{rest!r} is not a number of seconds, minutes, hours, days or weeks")
        amount = _NUMBERS.get(match[1]) or float(match[1])
        total += timedelta(**{unit: amount})
        rest = rest[match.end() :]
    if not total:
        raise _unreadable(text, "it names no duration")
    return total


def _absolute(words: str, text: str, now: datetime, zone: tzinfo | None) -> datetime:
    clock = _CLOCK.search(_DATE.sub(lambda m: " " * len(m[0]), words))
    if clock is None:
        raise _unreadable(text, "it has no time of day")
    zone_text = words[clock.end() :].strip()
    found_zone = _zone(zone_text, text) if zone_text else zone
    day = _day(words[: clock.start()].strip(" T,"), text, now.astimezone(found_zone).date())
    naive = _on(day, clock, text)
    if found_zone is None or isinstance(found_zone, ZoneInfo):
        _refuse_twice_or_never(naive, found_zone, text)
    return _localised(naive, found_zone, fold=0).astimezone(UTC)


def _day(words: str, text: str, today: date) -> date:
    if not words or words.lower() == "today":
        return today
    if words.lower() == "yesterday":
        return today - timedelta(days=1)
    match = _DATE.fullmatch(words)
    if match is None:
        raise _unreadable(
            text, f"{words!r} is not a date as YYYY-MM-DD, which is the one form that all read alike"
        )
    try:
        return date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError as error:
        raise _unreadable(text, str(error)) from None


def _on(day: date, clock: re.Match[str], text: str) -> datetime:
    hour = int(clock["hour"])
    if clock["half"]:
        if not 1 <= hour <= 12:
            raise _unreadable(text, f"{clock[0]} is no hour of a clock with am and pm")
        hour = hour % 12 + (12 if clock["half"].lower() == "pm" else 0)
    fraction = int((clock["fraction"] or "0").ljust(6, "0"))
    try:
        return datetime(
            day.year, day.month, day.day, hour, int(clock["minute"]), int(clock["second"] or 0), fraction
        )
    except ValueError as error:
        raise _unreadable(text, str(error)) from None


def _zone(words: str, text: str) -> tzinfo:
    if words.upper() in ("UTC", "GMT", "Z"):
        return UTC
    offset = _OFFSET.fullmatch(words)
    if offset is not None:
        from datetime import timezone

        size = timedelta(hours=int(offset["hours"]), minutes=int(offset["minutes"] or 0))
        if size > timedelta(hours=14):
            raise _unreadable(text, f"no zone is {words} from UTC")
        return timezone(size if offset["sign"] == "+" else -size)
    if "/" in words:
        try:
            return ZoneInfo(words)
        except (KeyError, ValueError, OSError):
            raise _unreadable(text, f"this machine knows no time zone {words!r}") from None
    raise _unreadable(
        text,
        f"{words!r} is no offset and no zone by its full name; abbreviations such as CST mean several zones",
    )


def _localised(naive: datetime, zone: tzinfo | None, *, fold: int) -> datetime:
    folded = naive.replace(fold=fold)
    return folded.astimezone() if zone is None else folded.replace(tzinfo=zone)


def _refuse_twice_or_never(naive: datetime, zone: tzinfo | None, text: str) -> None:
    """When clocks change, an hour of the wall clock comes twice or not at all."""
    first, second = (_localised(naive, zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return
    back = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    if back != naive:
        raise _unreadable(text, "the clocks were put forward over it, so that it never was")
    readings = " or ".join(show(one.astimezone(UTC)) for one in (first, second))
    raise _unreadable(text, f"the clocks were put back, so that it was twice: {readings}")


def _matching(pattern: re.Pattern[str], value: str, option: str, form: str) -> str:
    if not pattern.fullmatch(value):
        raise UsageError(
            "restore-target", f"{option} {value!r} is not {form.partition(';')[0]}", hint=f"give {form}"
        )
    return value


def _xid(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not _XID_MIN <= int(text) <= _XID_MAX:
        raise UsageError(
            "restore-target",
            f"--xid {text!r} is not a transaction's id",
            hint=f"give a whole number between {_XID_MIN} and {_XID_MAX}, as `SELECT txid_current()` does",
        )
    return int(text)
