"""Places, segments and commits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renecinfra.recovery.engine import wal
from renecinfra.recovery.engine.wal import Commit, CommitReader, Lsn, Segment

BEGAN = datetime(2026, 11, 24, 10, tzinfo=UTC)
LINES = """\
rmgr: Transaction len (rec/tot):     34/    34, tx:        742, lsn: 0/03000148, prev 0/03000110, desc: COMMIT 2026-11-24 10:31:00.123456 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:        743, lsn: 0/03000170, prev 0/03000148, desc: ABORT 2026-11-24 10:31:01.000000 UTC
rmgr: Transaction len (rec/tot):    405/   405, tx:        744, lsn: 1/0A000198, prev 0/03000170, desc: COMMIT 2026-11-24 10:31:02 UTC; inval msgs: catcache 80 relcache 1259
rmgr: Transaction len (rec/tot):     46/    46, tx:          0, lsn: 1/0A000200, prev 0/03000170, desc: PREPARE gid x: 2026-11-24 10:31:02 UTC
rmgr: Transaction len (rec/tot):     46/    46, tx:        745, lsn: 1/0A000240, prev 0/03000170, desc: COMMIT_PREPARED 2026-11-24 10:31:03.5 UTC
"""  # noqa: E501 - as printed


def test_commits_are_read_from_what_pg_waldump_prints():
    assert [(c.xid, str(c.lsn), c.at.isoformat()) for c in wal.parse_commits(LINES.splitlines())] == [
        (742, "0/3000148", "2026-11-24T10:31:00.123456+00:00"),
        (744, "1/A000198", "2026-11-24T10:31:02+00:00"),
        (745, "1/A000240", "2026-11-24T10:31:03.500000+00:00"),
    ]


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**40 - 1))
def test_a_segment_is_its_name(timeline, number):
    segment = Segment(timeline, number)
    assert Segment.parse(segment.name) == segment
    assert Segment.holding(timeline, segment.start) == segment
    assert Lsn.parse(str(segment.start)) == segment.start


def test_names_sort_as_places_do():
    names = [(Segment(1, 0xFE) + n).name for n in range(4)]
    assert names == sorted(names)
    assert names[1:3] == ["0000000100000000000000FF", "000000010000000100000000"]


@pytest.mark.parametrize("name", ["00000002.history", "0000000100000000000000FE.partial", "", "x" * 24])
def test_other_files_are_no_segments(name):
    with pytest.raises(ValueError, match="no name"):
        Segment.parse(name)


def reader(counts):
    """A reader over segments with so many commits each, a second apart; and how many were fetched."""
    commits = {}
    serial = 0
    for number, count in enumerate(counts, start=10):
        segment = Segment(1, number)
        commits[segment] = []
        for place in range(count):
            lsn = Lsn(segment.start.value + 100 * (place + 1))
            commits[segment].append(Commit(700 + serial, lsn, BEGAN + timedelta(seconds=serial)))
            serial += 1
    found = CommitReader("pg_waldump", lambda s: Path(s.name) if s in commits else None)
    asked = []

    def read(segment):
        asked.append(segment)
        return commits.get(segment, [])

    found._read = read
    return found, asked, [c for part in commits.values() for c in part]


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(-2, 170))
def test_the_neighbours_of_a_moment(counts, seconds):
    at = BEGAN + timedelta(seconds=seconds, milliseconds=500)
    found, _, commits = reader(counts)
    around = found.around(Segment(1, 10), Segment(1, 9 + len(counts)), lambda commit: commit.at > at)
    before = [c for c in commits if c.at <= at]
    assert around.last == (before[-1] if before else None)
    assert around.after == next((c for c in commits if c.at > at), None)


def test_few_segments_are_fetched():
    found, asked, commits = reader([5] * 1000)
    found.around(Segment(1, 10), Segment(1, 1009), lambda commit: commit.at > commits[2500].at)
    assert len(asked) < 16


def test_commits_are_counted_within_a_limit():
    found, _, commits = reader([2, 0, 3, 1])
    last = Segment(1, 13)
    assert found.count(Segment(1, 10), last, commits[0], 10) == 5
    assert found.count(Segment(1, 10), last, None, 10) == 6
    assert found.count(Segment(1, 10), last, commits[0], 3) is None
