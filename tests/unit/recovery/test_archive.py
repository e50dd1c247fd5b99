"""Continuity, per timeline and across forks; windows with their gaps."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renecinfra.errors import ToolError
from renecinfra.recovery.archive import Archive, Fork, all_gaps, gaps_since, parse_history, parse_listing
from renecinfra.recovery.engine.wal import SEGMENT_BYTES, Lsn, Segment
from renecinfra.recovery.info import Backup
from renecinfra.recovery.window import Span, window

START = datetime(2026, 11, 25, 10, tzinfo=UTC)


def at(number: float) -> datetime:
    """When segment ``number`` was full, in these tests: one a minute."""
    return START + timedelta(minutes=number)


def archive(*segments: tuple[int, int], forks: dict[int, tuple[int, int]] | None = None) -> Archive:
    times = {Segment(timeline, number): at(number) for timeline, number in segments}
    made = {
        child: Fork(parent, Lsn(number * SEGMENT_BYTES + 100))
        for child, (parent, number) in (forks or {}).items()
    }
    return Archive(1, "15-1", times, made)


def run(timeline: int, first: int, last: int) -> list[tuple[int, int]]:
    return [(timeline, number) for number in range(first, last + 1)]


def backup(label: str, first: int, last: int, *, timeline: int = 1, repository: int = 1) -> Backup:
    return Backup(
        label, "full", repository, 1, at(first), at(last + 0.5), 1, 1, 1, 1,
        Segment(timeline, first).name, Segment(timeline, last).name, "", "", None, (), False, {},
    )  # fmt: skip


def end_of(segment: Segment) -> datetime:
    return at(segment.number + 1)


def test_a_listing_becomes_segments() -> None:
    name = "000000010000000000000002-" + "a" * 40 + ".zst"
    other = "000000010000000000000002-" + "b" * 40 + ".zst"
    listing = {
        "15-1": {"type": "path"},
        f"0000000100000000/{name}": {"type": "file", "size": 1, "time": 1000},
        "0000000100000000/000000010000000000000002.00000028.backup": {"type": "file", "time": 1},
        "0000000100000000/000000010000000000000003.partial-" + "c" * 40: {"type": "file", "time": 1},
        "00000002.history": {"type": "file", "time": 1},
    }
    found = parse_listing(json.dumps(listing), 1, "15-1")
    assert list(found.times) == [Segment(1, 2)]
    assert found.duplicates == ()
    listing[f"0000000100000000/{other}"] = {"type": "file", "size": 1, "time": 1000}
    assert parse_listing(json.dumps(listing), 1, "15-1").duplicates == (Segment(1, 2),)


def test_what_is_no_listing_is_an_error() -> None:
    with pytest.raises(ToolError):
        parse_listing("[1]", 1, "15-1")


def test_a_history_file_names_the_parent() -> None:
    text = "1\t0/3000000\tno recovery target specified\n\n2\t0/5000148\tbefore 2026-11-25 10:00:00+00\n"
    assert parse_history(text) == Fork(2, Lsn.parse("0/5000148"))
    assert parse_history("") is None


def test_gaps_are_between_segments_only() -> None:
    assert archive(*run(1, 3, 9)).gaps(1) == []
    [gap] = archive(*run(1, 3, 4), *run(1, 7, 9)).gaps(1)
    assert (gap.first.number, gap.last.number, gap.count) == (5, 6, 2)
    assert str(gap) == "000000010000000000000005 to 000000010000000000000006"


def test_a_backup_that_begins_before_the_first_segment_has_a_gap() -> None:
    [gap] = archive(*run(1, 5, 9)).gaps(1, Segment(1, 3))
    assert (gap.first.number, gap.last.number) == (3, 4)


@given(st.sets(st.integers(0, 40), min_size=1), st.data())
def test_gaps_and_segments_are_everything_in_between(numbers: set[int], data: st.DataObject) -> None:
    found = archive(*((1, number) for number in numbers))
    missing = {n for gap in found.gaps(1) for n in range(gap.first.number, gap.last.number + 1)}
    assert missing | numbers == set(range(min(numbers), max(numbers) + 1))
    assert not missing & numbers
    start = data.draw(st.sampled_from(sorted(numbers)))
    reach = found.continuous(Segment(1, start), 1)
    assert reach.last is not None
    assert set(range(start, reach.last.number + 1)) <= numbers
    assert (reach.missing is None) == (not any(gap.first.number > start for gap in found.gaps(1)))


def test_replay_goes_over_a_fork() -> None:
    made = archive(*run(1, 1, 5), *run(2, 5, 8), forks={2: (1, 5)})
    reach = made.continuous(Segment(1, 2), 2)
    assert (reach.last, reach.missing) == (Segment(2, 8), None)


def test_a_segment_that_is_missing_before_the_fork_ends_the_replay() -> None:
    made = archive(*run(1, 1, 3), *run(2, 5, 8), forks={2: (1, 5)})
    reach = made.continuous(Segment(1, 2), 2)
    assert (reach.last, reach.missing) == (Segment(1, 3), Segment(1, 4))
    assert [str(gap) for gap in all_gaps(made, [Segment(1, 2)])] == [Segment(1, 4).name]


def test_the_parents_last_segment_is_the_childs() -> None:
    """The old primary never filled the segment in which it was left; nobody needs it of that timeline."""
    made = archive(*run(1, 1, 4), *run(2, 5, 8), forks={2: (1, 5)})
    assert made.continuous(Segment(1, 1), 2).last == Segment(2, 8)
    assert all_gaps(made, [Segment(1, 1)]) == []


def test_a_gap_before_the_newest_backup_does_not_matter_to_the_present() -> None:
    made = archive(*run(1, 1, 3), *run(1, 5, 9))
    assert [str(gap) for gap in gaps_since(made, Segment(1, 2))] == [Segment(1, 4).name]
    assert gaps_since(made, Segment(1, 6)) == []
    forked = archive(*run(1, 1, 5), *run(2, 5, 6), *run(2, 8, 9), forks={2: (1, 5)})
    assert [str(gap) for gap in gaps_since(forked, Segment(1, 2))] == [Segment(2, 7).name]
    assert gaps_since(forked, Segment(2, 8)) == []


def test_a_stray_timeline_is_no_way_to_the_present() -> None:
    made = archive(*run(1, 1, 9), *run(7, 3, 4), forks={7: (1, 3)})
    assert made.continuous(Segment(1, 1), 1).last == Segment(1, 9)


def test_one_window_without_a_gap() -> None:
    made = archive(*run(1, 1, 9))
    found = window([backup("a", 1, 1), backup("b", 6, 6)], {1: made}, 1, end_of)
    assert found.spans == (Span(at(1.5), at(10), 1, ("a", "b"), None),)
    assert found.gaps == ()
    assert found.covers(at(4))
    assert not found.covers(at(1))
    assert not found.covers(at(11))


def test_a_deleted_segment_parts_the_window() -> None:
    made = archive(*run(1, 1, 3), *run(1, 5, 9))
    found = window([backup("a", 1, 1), backup("b", 6, 6)], {1: made}, 1, end_of)
    assert [(span.start, span.end, span.backups) for span in found.spans] == [
        (at(1.5), at(4), ("a",)),
        (at(6.5), at(10), ("b",)),
    ]
    assert found.spans[0].missing == Segment(1, 4)
    assert found.gaps == ((at(4), at(6.5)),)
    assert not found.covers(at(5))


def test_two_backups_before_the_same_gap_are_one_span_although_nothing_was_committed_between() -> None:
    made = archive(*run(1, 1, 5), *run(1, 7, 9))
    found = window([backup("a", 1, 1), backup("b", 4, 4)], {1: made}, 1, lambda _: at(0))
    assert [span.backups for span in found.spans] == [("a", "b")]
    assert found.spans[0].end == at(4.5)
    assert found.gaps == ()


def test_the_second_repository_fills_the_first_ones_gap() -> None:
    first, second = archive(*run(1, 1, 3), *run(1, 5, 9)), archive(*run(1, 1, 9))
    both = {1: first, 2: Archive(2, "15-1", second.times)}
    found = window([backup("a", 1, 1), backup("a", 1, 1, repository=2)], both, 1, end_of)
    assert [(span.start, span.end) for span in found.spans] == [(at(1.5), at(10))]


def test_a_backup_without_its_own_wal_is_unusable() -> None:
    made = archive(*run(1, 1, 3), *run(1, 5, 9))
    found = window([backup("a", 1, 1), backup("torn", 3, 4)], {1: made}, 1, end_of)
    assert found.unusable == ("torn",)


def test_what_a_restore_left_behind_is_told_apart() -> None:
    made = archive(*run(1, 1, 9), *run(2, 5, 12), forks={2: (1, 5)})
    found = window([backup("a", 1, 1)], {1: made}, 2, end_of)
    assert [(span.timeline, span.end) for span in found.spans] == [(2, at(13))]
    assert [(span.timeline, span.end) for span in found.abandoned] == [(1, at(10))]
