"""What people see of backups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from renecinfra.console import MARKS, Console, plain

if TYPE_CHECKING:
    from renecinfra.platforms.local.status import RecoveryStatus
    from renecinfra.provision.backup_list import BackupList, ListedBackup
    from renecinfra.provision.backups import BackupWork
    from renecinfra.recovery.broker import BrokerCopy
    from renecinfra.recovery.jobs import Taken
    from renecinfra.recovery.repository import Backup
    from renecinfra.recovery.verification import Verified
    from renecinfra.recovery.window import Window

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


def age(seconds: float) -> str:
    """A length of time in its largest unit of which there are two."""
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def mib(size: float) -> str:
    """Bytes in MiB, or in GiB where there are ten of them."""
    return f"{size / 2**30:.1f} GiB" if size >= 10 * 2**30 else f"{size / 2**20:.1f} MiB"


def show_taken(console: Console, work: BackupWork, taken: Taken) -> None:
    """The summary after `backup create`."""
    if console.json_output:
        console.json(
            {
                "environment": work.database.environment,
                "seconds": round(taken.seconds, 2),
                "broker": taken.broker,
                "backups": [
                    {
                        "label": b.label,
                        "type": b.type,
                        "repository": b.repository,
                        "size": b.size,
                        "stored": b.stored,
                    }
                    for b in taken.backups
                ],
            }
        )
        return
    for backup in taken.backups:
        console.result(
            f"{MARKS['ok']} {plain(backup.label)} ({backup.type}) in repository {backup.repository}: "
            f"{mib(backup.delta)} copied of {mib(backup.size)}, {mib(backup.stored_delta)} stored",
            markup=True,
        )
    if taken.broker is not None:
        console.result(f"{MARKS['ok']} the broker's queues, as {taken.broker}", markup=True)
    console.result(f"backed up in {taken.seconds:.1f} s")


def show_list(console: Console, listing: BackupList) -> None:
    """Backups, the window and its gaps, restore points, what is covered, what is wrong."""
    now = listing.seen.at
    rows = [_row(one, now) for one in listing.backups]
    columns = ("", "backup", "type", "repository", "age", "took", "size", "stored", "WAL", "verified")
    console.table(columns, rows, title=listing.seen.environment)
    if not rows:
        console.result("there is no backup yet")
    console.result()
    _show_window(console, listing.seen.window)
    _show_cost(console, listing)
    if listing.points:
        console.result()
        console.table(
            ("restore point", "at (UTC)", "reason"),
            [(plain(p.name), f"{p.at:%Y-%m-%d %H:%M:%S}", plain(p.reason)) for p in listing.points[-10:]],
        )
    console.result()
    for number, place in listing.repositories:
        free = listing.seen.free.get(number)
        room = f", {mib(free)} free" if free is not None else ""
        console.result(f"repository {number}: {place}{room}")
    for one in listing.coverage:
        mark = MARKS["ok" if one.covered else "off"]
        console.result(f"{mark} {plain(one.what)}: {plain(one.how)}", markup=True)
    for finding in listing.seen.findings:
        if not finding.ok:
            console.result(f"{MARKS['failed']} {plain(finding.name)}: {plain(finding.detail)}", markup=True)
    for problem in listing.seen.problems:
        console.result(f"{MARKS['failed']} {plain(problem)}", markup=True)


def _row(one: ListedBackup, now: datetime) -> tuple[str, ...]:
    backup = one.backup
    bad = one.bad or backup.damaged or not one.usable
    verified = "never" if one.verified is None else f"{age((now - one.verified).total_seconds())} ago"
    if one.bad:
        verified = "[red]not whole[/]"
    elif backup.damaged:
        verified = "[red]damaged pages[/]"
    elif not one.usable:
        verified = "[red]WAL missing[/]"
    return (
        MARKS["failed" if bad else "ok" if one.verified else "off"],
        plain(backup.label) + ("" if one.current else " [dim](earlier database)[/]"),
        backup.type,
        str(backup.repository),
        age((now - backup.stopped).total_seconds()),
        age(backup.seconds),
        mib(backup.size),
        mib(backup.stored_delta),
        f"{backup.wal_first[-8:]}–{backup.wal_last[-8:]}",
        verified,
    )


def _show_window(console: Console, window: Window | None) -> None:
    if window is None or not window.spans:
        console.result(f"{MARKS['failed']} no moment can be restored", markup=True)
        return
    for number, span in enumerate(window.spans):
        if number:
            before = window.spans[number - 1]
            missing = f", WAL segment {before.missing.name} is missing" if before.missing else ""
            console.result(
                f"{MARKS['failed']} gap: {_moment(before.end)} to {_moment(span.start)}{missing}", markup=True
            )
        console.result(
            f"{MARKS['ok']} any moment from {_moment(span.start)} to {_moment(span.end)} UTC can be restored",
            markup=True,
        )
    for span in window.abandoned:
        console.result(
            f"{MARKS['off']} left behind by a restore: {_moment(span.start)} to {_moment(span.end)} UTC "
            f"on timeline {span.timeline}",
            markup=True,
        )


def _show_cost(console: Console, listing: BackupList) -> None:
    seen = listing.seen
    if seen.rpo is not None:
        alone = (
            ""
            if seen.rpo_archive is None
            else f" ({age(seen.rpo_archive)} if only the repositories were left)"
        )
        console.result(f"losing the primary now would cost {age(seen.rpo)} of commits{alone}")
    if seen.rto is not None:
        console.result(f"a restore to the present would take about {age(seen.rto)}")


def _moment(at: datetime | None) -> str:
    return "an unknown moment" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def show_verified(console: Console, verified: Verified) -> None:
    """Every finding of a verification."""
    if console.json_output:
        console.json(
            {
                "ok": verified.ok,
                "seconds": round(verified.seconds, 2),
                "findings": [finding.document() for finding in verified.findings],
                "backups": list(verified.good_backups),
                "bad_backups": list(verified.bad_backups),
            }
        )
        return
    for finding in verified.findings:
        mark = MARKS["ok" if finding.ok else "failed"]
        console.result(f"{mark} {plain(finding.name)}: {plain(finding.detail)}", markup=True)
    if verified.ok:
        console.result(f"{len(verified.good_backups)} backups are whole, after {verified.seconds:.1f} s")


def ask_expire(console: Console, environment: str, going: Sequence[Backup], *, yes: bool) -> None:
    """Name what is lost, and ask."""
    if yes:
        return
    lost = "".join(
        f"\n  {b.label}  {b.type}  {b.stopped:%Y-%m-%d %H:%M} UTC  repository {b.repository}" for b in going
    )
    console.confirm(f"This deletes for good, with the WAL that only they needed:{lost}", expect=environment)


def show_expired(console: Console, environment: str, gone: Sequence[Backup], *, dry_run: bool) -> None:
    """What went, or would."""
    if console.json_output:
        listed = [{"label": one.label, "repository": one.repository} for one in gone]
        console.json({"environment": environment, "dry_run": dry_run, "expired": listed})
        return
    for one in gone:
        console.result(f"- {one.label} ({one.type}) in repository {one.repository}")
    verb = "would be expired" if dry_run else "expired"
    console.result(f"{len(gone)} backups {verb}")


def show_recovery(console: Console, seen: RecoveryStatus) -> None:
    """How recovery stands, as part of `status`."""
    found = seen.document
    now = datetime.now(UTC)

    def ago(at: str) -> str:
        return f"{age((now - datetime.fromisoformat(at)).total_seconds())} ago"

    parts = []
    if (last := found["last_backup"]) is not None:
        parts.append(f"last {last['type']} {ago(last['at'])}")
    if (archived := found["last_archived"]) is not None:
        parts.append(f"WAL archived {ago(archived['at'])}")
    if found["rpo_seconds"] is not None:
        alone = found["rpo_archive_seconds"]
        beside = "" if alone is None else f" ({age(alone)} from the archive alone)"
        parts.append(f"a disaster now costs {age(found['rpo_seconds'])}{beside}")
    if found["rto_seconds"] is not None:
        parts.append(f"a restore takes about {age(found['rto_seconds'])}")
    console.result("backups: " + (", ".join(parts) or "none yet"))
    window = found["window"]
    if window is not None and window["start"] is not None:
        start, end = (
            _moment(datetime.fromisoformat(at) if at else None) for at in (window["start"], window["end"])
        )
        gaps = f", with {len(window['gaps'])} gaps" if window["gaps"] else ""
        console.result(f"restore window: {start} to {end} UTC{gaps}")
    drill = found["drill"]
    if drill is None:
        console.result("last drill: never")
    else:
        figures = ", ".join(
            f"{name.upper()} {age(drill[f'{name}_seconds'])}"
            for name in ("rto", "rpo")
            if isinstance(drill.get(f"{name}_seconds"), int | float)
        )
        verdict = "good" if drill["ok"] else "failed"
        console.result(f"last drill: {verdict}, {ago(drill['at'])}{', ' + figures if figures else ''}")
    for wrong in seen.wrong:
        console.result(f"{MARKS['failed']} {plain(wrong)}", markup=True)


def show_brokers(console: Console, environment: str, copies: Sequence[BrokerCopy]) -> None:
    """The copies of the broker's queues."""
    if console.json_output:
        console.json({"environment": environment, "copies": [one.document() for one in copies]})
        return
    now = datetime.now(UTC)
    rows = [
        (one.name, str(one.repository), age((now - one.at).total_seconds()), mib(one.size)) for one in copies
    ]
    console.table(("copy", "repository", "age", "size"), rows, title=environment)
    if not rows:
        console.result("there is no copy yet; the next backup makes one")


def ask_broker(console: Console, environment: str, wanted: BrokerCopy, *, yes: bool) -> None:
    """Name what is lost, and ask."""
    if not yes:
        console.confirm(
            f"This takes every task out of the queues of {environment} that was queued since "
            f"{wanted.at:%Y-%m-%d %H:%M:%S} UTC, and queues again those that were done since.",
            expect=environment,
        )
