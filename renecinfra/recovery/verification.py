"""Whether backups can be relied on, by level; every finding is in the answer, passed or not.

Level 0 looks at what runs: the archive's age, what waits for it, continuity. Level 1 reads everything in the
repositories: pgBackRest's ``verify`` exits 0 whatever it finds and knows nothing of a deleted segment or of a
damaged manifest whose copy it uses instead, so its text is parsed, copies are compared and segments counted.
Level 2 restores, and asks the restored database; it is the drill's (``recovery.drill``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from renecinfra.errors import RenecError
from renecinfra.recovery.archive import Archive, Gap, all_gaps, gaps_since, scan
from renecinfra.recovery.engine.wal import Segment
from renecinfra.recovery.primary import PrimaryState
from renecinfra.recovery.protected import READY_MOST, Policy
from renecinfra.recovery.repository import Backup, PgBackRest, Repository, base_argv, verify_argv
from renecinfra.recovery.verify_output import parse_verify

_VERIFY_SECONDS: Final = 24 * 3600.0
_CLOCK_SECONDS: Final = 60.0
_COPY_SECONDS: Final = 600.0

_LEFT_OUT: Final = ("in-progress", "in progress")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``labels`` are the backups that it is about."""

    name: str
    level: int
    ok: bool
    detail: str
    labels: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "name": self.name,
            "level": self.level,
            "ok": self.ok,
            "detail": self.detail,
            "backups": list(self.labels),
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found, and in how many seconds."""

    findings: tuple[Finding, ...]
    seconds: float
    labels: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether everything is as it should be."""
        return all(finding.ok for finding in self.findings)

    @property
    def bad_backups(self) -> tuple[str, ...]:
        """The backups that cannot be relied on."""
        return tuple(dict.fromkeys(label for f in self.findings if not f.ok for label in f.labels))

    @property
    def good_backups(self) -> tuple[str, ...]:
        """The backups of which every file was read and found whole."""
        return tuple(label for label in self.labels if label not in self.bad_backups)


def look(
    policy: Policy, state: PrimaryState, archives: Mapping[int, Archive], backups: Sequence[Backup]
) -> list[Finding]:
    """Level 0: whether WAL reaches the repositories now, and whether it is all there."""
    findings = [_archive_age(policy, state), _waiting(state), _clock(state, backups)]
    findings += [_continuity(archive, backups) for archive in archives.values()]
    if policy.receiver:
        streams = state.receiver_lag is not None
        detail = f"{state.receiver_lag} bytes behind the primary" if streams else "it does not stream"
        findings.append(Finding("WAL receiver", 0, streams, detail))
    return findings


def _archive_age(policy: Policy, state: PrimaryState) -> Finding:
    limit = 2 * policy.archive_timeout
    # A primary that was down archived nothing meanwhile, and wrote nothing.
    since = max(state.archived_at or state.started, state.started)
    age = max(0.0, (state.now - since).total_seconds())
    if state.archived_at is None and age > limit:
        return Finding("archive age", 0, False, "no segment has been archived yet")
    return Finding(
        "archive age", 0, age <= limit, f"{age:.0f} s since the last segment; {limit:.0f} s are allowed"
    )


def _clock(state: PrimaryState, backups: Sequence[Backup]) -> Finding:
    """A backup from the future keeps newer ones from being taken."""
    ahead = max(((backup.stopped - state.now).total_seconds() for backup in backups), default=0.0)
    if ahead > _CLOCK_SECONDS:
        return Finding("clock", 0, False, f"the newest backup is from {ahead:.0f} s in the future")
    return Finding("clock", 0, True, "no backup is from the future")


def _waiting(state: PrimaryState) -> Finding:
    return Finding(
        "archive queue", 0, state.ready <= READY_MOST, f"{state.ready} segments wait for the archive"
    )


def _continuity(archive: Archive, backups: Sequence[Backup]) -> Finding:
    """Whether the newest backup reaches the present. What older ones cannot reach is ``_history``'s."""
    name = f"continuity of repository {archive.repository}"
    if archive.duplicates:
        listed = ", ".join(one.name for one in archive.duplicates[:5])
        return Finding(name, 0, False, f"two servers have archived: {listed} came twice")
    own = [backup for backup in backups if backup.repository == archive.repository]
    if not own:
        return Finding(name, 0, True, f"{len(archive.times)} segments, and no backup yet")
    newest = own[-1]
    gaps = gaps_since(archive, Segment.parse(newest.wal_first))
    if gaps:
        labels = (newest.label,) if _needs(newest, gaps) else ()
        return Finding(name, 0, False, f"{_missing(gaps)} after the newest backup", labels)
    return Finding(name, 0, True, f"no gap since backup {newest.label}")


def _history(archive: Archive, backups: Sequence[Backup]) -> Finding:
    """Whether every moment since the oldest backup can be restored."""
    name = f"history of repository {archive.repository}"
    own = [backup for backup in backups if backup.repository == archive.repository]
    gaps = all_gaps(archive, [Segment.parse(backup.wal_first) for backup in own])
    if gaps:
        labels = tuple(backup.label for backup in own if _needs(backup, gaps))
        return Finding(name, 0, False, f"{_missing(gaps)}; `backup list` shows the gap as times", labels)
    return Finding(name, 0, True, f"{len(archive.times)} segments without a gap")


def _missing(gaps: Sequence[Gap]) -> str:
    count = sum(gap.count for gap in gaps)
    listed = ", ".join(str(gap) for gap in gaps[:5])
    return f"{count} {'segment is' if count == 1 else 'segments are'} missing: {listed}"


def _needs(backup: Backup, gaps: Iterable[Gap]) -> bool:
    """Whether a backup cannot even become consistent for the gaps; otherwise it only reaches less far."""
    first, last = Segment.parse(backup.wal_first), Segment.parse(backup.wal_last)
    return any(
        gap.first.timeline == first.timeline
        and gap.first.number <= last.number
        and gap.last.number >= first.number
        for gap in gaps
    )


def verify_repository(tool: PgBackRest, number: int, repository: Repository) -> list[Finding]:
    """Level 1 of one repository.

    Raises:
        RenecError: it cannot be read at all.
    """
    started = time.monotonic()
    argv = [
        word.replace("--log-level-console=detail", "--log-level-console=warn")
        for word in verify_argv(tool.database, number)
    ]
    done = tool.run(argv, timeout=_VERIFY_SECONDS)
    well, checked = parse_verify(done.stdout)
    seconds = time.monotonic() - started
    findings = [
        Finding(
            f"{one.kind} {one.name} in repository {number}",
            1,
            one.ok,
            one.describe(),
            (one.name,) if one.kind == "backup" else (),
        )
        for one in checked
        if one.status not in _LEFT_OUT
    ]
    expected = {backup.label for backup in repository.backups if backup.repository == number}
    for label in sorted(expected - {one.name for one in checked if one.kind == "backup"}):
        findings.append(Finding(f"backup {label} in repository {number}", 1, False, "was not read", (label,)))
    if not well and all(finding.ok for finding in findings):
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        detail = next(
            (line for line in lines if "WARN" in line or "ERROR" in line), lines[-1] if lines else ""
        )
        findings.append(
            Finding(f"repository {number}", 1, False, f"pgBackRest says that it is not well: {detail}")
        )
    else:
        findings.append(Finding(f"repository {number}", 1, well, f"read in {seconds:.1f} s"))
    findings += _copies(tool, number, repository)
    findings += [
        _pages(backup) for backup in repository.backups if backup.repository == number and backup.damaged
    ]
    return findings


def _pages(backup: Backup) -> Finding:
    return Finding(
        f"pages of backup {backup.label}",
        1,
        False,
        "the database had damaged pages when it was taken",
        (backup.label,),
    )


def _copies(tool: PgBackRest, number: int, repository: Repository) -> list[Finding]:
    """Manifests and info files, each against its copy: pgBackRest takes the copy of a damaged one in
    silence."""
    stanza = tool.database.stanza
    wanted = {
        f"archive/{stanza}/archive.info": (),
        f"backup/{stanza}/backup.info": (),
        **{
            f"backup/{stanza}/{backup.label}/backup.manifest": (backup.label,)
            for backup in repository.backups
            if backup.repository == number
        },
    }
    findings = []
    for path, labels in wanted.items():
        first, second = (_contents(tool, number, name) for name in (path, f"{path}.copy"))
        if first is None or first != second:
            what = "is missing or unreadable" if first is None or second is None else "differs from its copy"
            findings.append(Finding(f"{path} in repository {number}", 1, False, what, tuple(labels)))
    if not findings:
        name = f"copies in repository {number}"
        findings.append(Finding(name, 1, True, f"{len(wanted)} manifests and info files equal their copies"))
    return findings


def _contents(tool: PgBackRest, number: int, path: str) -> str | None:
    argv = base_argv(tool.database, "repo-get", [f"--repo={number}", "--log-level-console=off"])
    done = tool.run([*argv, path], timeout=_COPY_SECONDS, check=False)
    return done.stdout if done.returncode == 0 else None


def verify(tool: PgBackRest, *, policy: Policy, state: PrimaryState | None, level: int = 1) -> Verified:
    """Levels 0 and, from 1 on, everything in every repository. A repository that cannot be read is a finding.

    ``state`` is None where there is no primary to ask.
    """
    started = time.monotonic()
    repository = tool.info()
    archives, findings = _archives(tool, repository)
    if state is not None:
        findings += look(policy, state, archives, repository.of_current())
    else:
        findings += [_continuity(archive, repository.of_current()) for archive in archives.values()]
    findings += [_history(archive, repository.of_current()) for archive in archives.values()]
    if not repository.of_current():
        findings.append(Finding("backups", 0, False, "there is no backup of the database that runs"))
    if level >= 1:
        for place in tool.database.repositories:
            try:
                findings += verify_repository(tool, place.number, repository)
            except RenecError as error:
                labels = tuple(b.label for b in repository.backups if b.repository == place.number)
                findings.append(Finding(f"repository {place.number}", 1, False, error.message, labels))
    labels = tuple(dict.fromkeys(backup.label for backup in repository.backups)) if level >= 1 else ()
    return Verified(tuple(findings), time.monotonic() - started, labels)


def _archives(tool: PgBackRest, repository: Repository) -> tuple[dict[int, Archive], list[Finding]]:
    archives: dict[int, Archive] = {}
    findings: list[Finding] = []
    for one in repository.current_archives():
        try:
            archives[one.repository] = scan(tool, one.repository, one.id)
        except RenecError as error:
            findings.append(Finding(f"continuity of repository {one.repository}", 0, False, error.message))
    for place in tool.database.repositories:
        if place.number not in archives and not any(f.name.endswith(f" {place.number}") for f in findings):
            name = f"continuity of repository {place.number}"
            findings.append(Finding(name, 0, False, "it has no WAL of the database that runs"))
    return archives, findings
