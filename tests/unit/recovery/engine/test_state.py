"""What is noted of a restore, what it has to end at, and what its log means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renecinfra.errors import RestoreError
from renecinfra.recovery.engine import explaining
from renecinfra.recovery.engine.recipe import End, Recipe
from renecinfra.recovery.engine.sources import Chain, _begun, missing
from renecinfra.recovery.engine.state import RestoreState, StateFile, Step, begin_failover
from renecinfra.recovery.engine.wal import Commit, Lsn, Segment
from renecinfra.recovery.plan import Expectation

AT = datetime(2026, 11, 24, 10, 31, tzinfo=UTC)
LAST = Commit(742, Lsn.parse("0/3000148"), AT)
AFTER = Commit(743, Lsn.parse("0/3000200"), AT + timedelta(seconds=1))


def expected(**changes):
    return Expectation(**({"last": LAST, "after": AFTER, "exact": True, "floor": "0/2000100"} | changes))


def state(tmp_path, **changes):
    values = {
        "id": "20261124T103100-abcdef", "environment": "prod", "target": "a moment",
        "said": ("restore", "prod"), "place": str(tmp_path),
        "recipe": Recipe("20261124-013000F", 1, 3, {"recovery_target_xid": "9"}, None, ("/a",)),
        "expectation": expected(), "bytes": 5, "wal": 7, "loss": {"seconds": 1.5}, "started": AT,
    }  # fmt: skip
    return RestoreState(**(values | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"end": End(4, Lsn.parse("0/3000178"), AT), "kept": True, "silence": "abc", "undoing": True},
        {"end": End(4, Lsn.parse("0/3000178"), None), "done": {"fetch": 1.5}, "source": "other"},
        {"expectation": expected(last=None, after=None, exact=False)},
    ],
)
def test_a_state_is_read_as_it_was_written(tmp_path, changes):
    file = StateFile(tmp_path / "restore.json")
    assert file.read() is None
    written = state(tmp_path, **changes)
    file.write(written)
    assert file.read() == written
    assert (tmp_path / "restore.json").stat().st_mode & 0o777 == 0o600
    file.remove()
    file.remove()
    assert file.read() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 1}', "torn {"])
def test_a_state_that_cannot_be_understood_is_refused(tmp_path, text):
    path = tmp_path / "restore.json"
    path.write_text(text)
    with pytest.raises(RestoreError) as caught:
        StateFile(path).read()
    assert caught.value.id == "restore-state-unreadable"


def test_a_failover_begins_with_the_cutover(tmp_path):
    begun = begin_failover("prod", tmp_path, "x", ("failover",), 9)
    assert next(step for step in Step if not begun.is_done(step)) is Step.CUTOVER
    assert not begun.adopted
    assert begun.with_done(Step.CUTOVER, 1).adopted


@pytest.mark.parametrize(
    ("fork", "commit", "why"),
    [
        ("0/3000178", AT, ""),
        ("0/3000200", AT, ""),
        ("0/3000178", None, ""),
        ("0/3000148", AT, "before the commit"),
        ("0/3000100", None, "before the commit"),
        ("0/3000240", AT, "past"),
        ("0/3000178", AT - timedelta(microseconds=1), "and not of"),
    ],
)
def test_a_replay_that_ends_elsewhere_falls_short(fork, commit, why):
    said = expected().shortfall(Lsn.parse(fork), commit)
    assert (said == "") == (why == "")
    assert why in said


def test_more_than_was_promised_is_well_where_more_may_come():
    more = expected(exact=False, after=None)
    assert more.shortfall(Lsn.parse("0/9000000"), AT + timedelta(hours=1)) == ""
    assert more.shortfall(Lsn.parse("0/3000100"), None) != ""


def test_the_end_of_a_backup_has_a_floor():
    end = expected(last=None, after=None, exact=False, floor="0/3000100")
    assert end.shortfall(Lsn.parse("0/3000100"), None) == ""
    assert "before 0/3000100" in end.shortfall(Lsn.parse("0/3000099"), None)


HISTORY = "1\t0/5000148\tno recovery target specified\n\n2\t0/A000000\tbefore 2026-11-24\n"


def test_a_chain_finds_each_segment_on_the_timeline_that_wrote_it():
    chain = Chain.parse(3, HISTORY)
    # The segment in which a timeline ends is the next one's, which begins with a copy of it.
    assert [chain.segment(number).timeline for number in (4, 5, 9, 10, 11)] == [1, 2, 2, 3, 3]
    assert chain.includes(1, Lsn.parse("0/5000148"))
    assert not chain.includes(1, Lsn.parse("0/5000149"))
    assert chain.includes(3, Lsn.parse("9/0"))
    assert not chain.includes(4, Lsn.parse("0/1"))


def test_the_first_missing_segment_is_found_across_timelines():
    chain = Chain.parse(3, HISTORY)
    have = {chain.segment(number) for number in range(3, 13)}
    assert missing(chain, have, 3, 12) is None
    assert missing(chain, have - {Segment(2, 7)}, 3, 12) == Segment(2, 7)
    assert missing(chain, have - {Segment(2, 7)}, 8, 12) is None


def test_segments_to_come_do_not_count():
    heads = [
        "000000010000000000000005 10d10700010000000000000500000000",
        "000000010000000000000006 10 d1 07 00 01 00 00 00 00 00 00 06 00 00 00 00",
        "000000010000000000000007.partial 10 d1 07 00 01 00 00 00 00 00 00 07 00 00 00 00",
        "000000010000000000000008 10 d1 07 00 01 00 00 00 00 00 00 03 00 00 00 00",
        "000000010000000000000009 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
        "00000002.history 31 09",
    ]
    assert list(_begun(heads)) == [Segment(1, 6), Segment(1, 7)]


@pytest.mark.parametrize(
    ("lines", "id_"),
    [
        (
            ["restore_command: 00000001: a gap: the archive goes on", "FATAL:  could not restore"],
            "restore-gap",
        ),
        (["restore_command: X: the archive cannot give it (exit code 25)"], "restore-wal-damaged"),
        (
            ["FATAL:  recovery ended before configured recovery target was reached"],
            "restore-target-unreached",
        ),
        (["PANIC:  could not write: No space left on device"], "restore-disk-full"),
        (["FATAL:  the database system is starting up", "FATAL:  odd"], "restore-replay-failed"),
        ([], "restore-replay-failed"),
    ],
)
def test_a_log_is_explained(lines, id_):
    error = explaining.explain(lines)
    assert error.id == id_
    assert error.hint
    assert "starting up" not in error.message


def test_where_a_replay_came_to_is_said():
    lines = [
        "LOG:  last completed transaction was at log time 2026-11-24 10:31:00.5+00",
        "FATAL:  recovery ended before configured recovery target was reached",
    ]
    assert "2026-11-24 10:31:00.5+00" in explaining.explain(lines).message


def test_an_exchange_leaves_both(tmp_path):
    from renecinfra.agents import exchange

    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name)
    exchange.exchange(str(tmp_path / "one"), str(tmp_path / "other"))
    assert (tmp_path / "one" / "who").read_text() == "other"
    assert (tmp_path / "other" / "who").read_text() == "one"
    assert exchange.main([str(tmp_path / "one"), str(tmp_path / "missing")]) == 1
    assert (tmp_path / "one" / "who").read_text() == "other"
    assert exchange.main([str(Path("one"))]) == 64
