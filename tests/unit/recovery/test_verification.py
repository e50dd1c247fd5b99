"""pgBackRest's verify is parsed, not believed; level 0 looks at what really arrives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from renecinfra.recovery.archive import Archive
from renecinfra.recovery.engine.wal import Segment
from renecinfra.recovery.info import Backup
from renecinfra.recovery.primary import PrimaryState
from renecinfra.recovery.protected import Policy
from renecinfra.recovery.verification import Verified, _history, look
from renecinfra.recovery.verify_output import parse_verify

# As pgBackRest 2.45 printed it, with exit code 0 each time.
WHOLE = """\
stanza: bk
status: ok
  archiveId: 15-1, total WAL checked: 5, total valid WAL: 5
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: 20261125-222808F, status: valid, total files checked: 1263, total valid files: 1263
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
"""
FLIPPED = WHOLE.replace("status: ok", "status: error").replace(
    "status: valid, total files checked: 1263, total valid files: 1263\n    missing: 0, checksum invalid: 0",
    "status: invalid, total files checked: 1263, total valid files: 1010\n"
    "    missing: 252, checksum invalid: 1",
)
WAL_UNREADABLE = WHOLE.replace("status: ok", "status: error").replace(
    "total valid WAL: 5\n    missing: 0, checksum invalid: 0, size invalid: 0, other: 0",
    "total valid WAL: 4\n    missing: 0, checksum invalid: 0, size invalid: 0, other: 1",
)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_whole() -> None:
    well, checked = parse_verify(WHOLE)
    assert well
    assert [(one.kind, one.name, one.ok) for one in checked] == [
        ("archive", "15-1", True),
        ("backup", "20261125-222808F", True),
    ]


def test_a_flipped_bit_and_missing_files() -> None:
    well, checked = parse_verify(FLIPPED)
    assert not well
    bad = [one for one in checked if not one.ok]
    assert [one.name for one in bad] == ["20261125-222808F"]
    assert bad[0].describe() == "of 1263 files 252 missing, 1 with a wrong checksum"


def test_wal_that_cannot_be_read() -> None:
    well, checked = parse_verify(WAL_UNREADABLE)
    assert not well
    assert [one.describe() for one in checked if not one.ok] == ["of 5 segments 1 unreadable"]


@pytest.mark.parametrize("text", ["", "stanza: x\n", "stanza: x\nstatus: error\n"])
def test_what_says_nothing_is_not_well(text: str) -> None:
    assert parse_verify(text) == (False, [])


def test_counts_that_are_cut_off_are_not_well() -> None:
    cut = WHOLE.partition("    missing")[0]
    assert not parse_verify(cut)[1][0].ok


@pytest.fixture
def state() -> PrimaryState:
    return PrimaryState(
        system_id="1",
        timeline=1,
        lsn="0/5000000",
        in_recovery=False,
        archived="000000010000000000000004",
        archived_at=NOW - timedelta(seconds=30),
        failed=0,
        ready=0,
        size=1,
        receiver_lag=0,
        receiver_seconds=0.0,
        replica_lag=0,
        started=NOW - timedelta(hours=1),
        now=NOW,
    )


def names(findings: list) -> list[str]:
    return [finding.name for finding in findings if not finding.ok]


def backup(number: int) -> Backup:
    name = Segment(1, number).name
    return Backup(f"b{number}", "full", 1, 1, NOW, NOW, 1, 1, 1, 1, name, name, "", "", None, (), False, {})


def archive(*numbers: int) -> Archive:
    return Archive(1, "15-1", {Segment(1, number): NOW for number in numbers})


def test_all_is_well(policy: Policy, state: PrimaryState) -> None:
    assert names(look(policy, state, {1: archive(1, 2, 3)}, [])) == []


def test_an_archive_that_stands_still(policy: Policy, state: PrimaryState) -> None:
    """pg_stat_archiver may count no failure meanwhile."""
    old = replace(state, archived_at=NOW - timedelta(seconds=121), ready=3, failed=0)
    assert names(look(policy, old, {1: archive(1)}, [])) == ["archive age"]
    queued = replace(state, ready=17)
    assert names(look(policy, queued, {1: archive(1)}, [])) == ["archive queue"]


def test_a_primary_that_was_down_is_not_late(policy: Policy, state: PrimaryState) -> None:
    woken = replace(state, archived_at=NOW - timedelta(days=2), started=NOW - timedelta(seconds=20))
    assert names(look(policy, woken, {1: archive(1)}, [])) == []
    never = replace(state, archived_at=None)
    assert names(look(policy, never, {1: archive(1)}, [])) == ["archive age"]


def test_a_gap_two_writers_and_a_receiver_that_is_away(policy: Policy, state: PrimaryState) -> None:
    old, new = backup(1), backup(5)
    assert names(look(policy, state, {1: archive(1, 3)}, [old])) == ["continuity of repository 1"]
    # A backup after the gap makes the present safe; what the older one cannot reach is the verification's
    # to say.
    assert names(look(policy, state, {1: archive(1, 3, 4, 5, 6)}, [old, new])) == []
    assert not _history(archive(1, 3, 4, 5, 6), [old, new]).ok
    assert _history(archive(1, 3, 4, 5, 6), [new]).ok
    twice = replace(archive(1, 2), duplicates=(Segment(1, 2),))
    assert names(look(policy, state, {1: twice}, [])) == ["continuity of repository 1"]
    away = replace(state, receiver_lag=None, receiver_seconds=None)
    assert names(look(policy, away, {1: archive(1)}, [])) == ["WAL receiver"]
    assert names(look(replace(policy, receiver=False), away, {1: archive(1)}, [])) == []


def test_a_backup_from_the_future_tells_of_the_clock(policy: Policy, state: PrimaryState) -> None:
    future = replace(backup(1), stopped=NOW + timedelta(hours=1))
    assert names(look(policy, state, {1: archive(1, 2)}, [future])) == ["clock"]


def test_a_backup_is_good_only_if_nothing_was_found_of_it() -> None:
    from renecinfra.recovery.verification import Finding

    findings = (Finding("x", 1, False, "", ("b",)), Finding("y", 1, True, "", ("a",)))
    verified = Verified(findings, 1.0, ("a", "b"))
    assert verified.good_backups == ("a",)
    assert verified.bad_backups == ("b",)
    assert not verified.ok
