from __future__ import annotations

import os
from pathlib import Path

import pytest

from renecinfra.services.access import EXECUTE, READ, permits, reachable

OWNER, STRANGER = os.geteuid(), 54321


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that anybody can reach, whatever pytest's own directory is like."""
    directory = Path("/tmp") / f"renecinfra-access-{os.getpid()}"
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    yield directory
    for entry in sorted(directory.rglob("*"), reverse=True):
        entry.unlink() if entry.is_symlink() or entry.is_file() else entry.rmdir()
    directory.rmdir()


def _file(path: Path, mode: int) -> Path:
    path.write_text("x")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "need", "expected"),
    [
        (0o644, STRANGER, STRANGER, READ, True),
        (0o600, STRANGER, STRANGER, READ, False),
        (0o600, OWNER, STRANGER, READ, True),
        (0o644, STRANGER, STRANGER, EXECUTE, False),
        (0o755, STRANGER, STRANGER, READ | EXECUTE, True),
        (0o711, STRANGER, STRANGER, READ | EXECUTE, False),
        # The owner's bits alone decide for the owner, even where others may more.
        (0o077, OWNER, STRANGER, READ, False),
    ],
)
def test_modes_decide(place: Path, mode: int, uid: int, gid: int, need: int, expected: bool) -> None:
    path = _file(place / "file", mode)
    assert reachable(path, uid, gid, need) is expected
    assert permits(path.stat(), uid, gid, need) is expected


def test_a_closed_directory_on_the_way_closes_everything_below(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    path = _file(closed / "file", 0o644)
    assert not reachable(path, STRANGER, STRANGER)
    closed.chmod(0o711)
    assert reachable(path, STRANGER, STRANGER)


def test_the_way_of_a_link_counts_too(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    _file(closed / "file", 0o644)
    (place / "absolute").symlink_to(closed / "file")
    (place / "relative").symlink_to("closed/file")
    assert not reachable(place / "absolute", STRANGER, STRANGER)
    assert not reachable(place / "relative", STRANGER, STRANGER)
    closed.chmod(0o755)
    assert reachable(place / "absolute", STRANGER, STRANGER)
    assert reachable(place / "relative", STRANGER, STRANGER)


def test_loops_and_absent_files_are_unreachable(place: Path) -> None:
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    assert not reachable(place / "a", STRANGER, STRANGER)
    assert not reachable(place / "absent", OWNER, STRANGER)
