"""Files are flushed while somebody writes them: the large ones, when they changed, and through no link."""

import os
import threading
from pathlib import Path

import pytest

from renecinfra.recovery.engine import write_out

LARGE = 4 << 20
SECONDS = 10


@pytest.fixture
def flushed(monkeypatch):
    """The names of flushed files, and a semaphore that each of them releases."""
    names = []
    arrived = threading.Semaphore(0)

    def record(descriptor):
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        arrived.release()

    monkeypatch.setattr(write_out.os, "fdatasync", record)
    return names, arrived


def test_a_growing_file_is_flushed_each_time_that_it_grew(tmp_path, flushed):
    names, arrived = flushed
    directory = tmp_path / "base" / "5"
    directory.mkdir(parents=True)
    with write_out.flushing(tmp_path), (directory / "16384").open("wb", buffering=0) as file:
        for _ in range(3):
            file.write(bytes(LARGE))
            assert arrived.acquire(timeout=SECONDS)
    # More than once for one write, if it was seen half done.
    assert len(names) >= 3
    assert set(names) == {"16384"}


def test_small_files_links_and_unchanged_files_are_left_alone(tmp_path, flushed, monkeypatch):
    names, arrived = flushed
    monkeypatch.setattr(write_out, "_PAUSE_SECONDS", 0.001)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_bytes(bytes(LARGE))
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "small").write_bytes(bytes(LARGE - 1))
    (inside / "link").symlink_to(outside / "theirs")
    (inside / "directory").symlink_to(outside)
    os.mkfifo(inside / "fifo")
    (inside / "first").write_bytes(bytes(LARGE))
    with write_out.flushing(inside):
        assert arrived.acquire(timeout=SECONDS)
        # The look that finds the second finds the first again, and is over when the third is found.
        for name in ("second", "third"):
            (inside / name).write_bytes(bytes(LARGE))
            while name not in names:
                assert arrived.acquire(timeout=SECONDS)
    # A file may be seen while it is written, and once more when it is whole; the first was whole.
    assert names.count("first") == 1
    assert set(names) == {"first", "second", "third"}


def test_a_disk_that_fails_is_the_writers_business(tmp_path, monkeypatch):
    asked = threading.Event()

    def fail(_descriptor):
        asked.set()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(write_out.os, "fdatasync", fail)
    (tmp_path / "file").write_bytes(bytes(LARGE))
    with write_out.flushing(tmp_path):
        assert asked.wait(SECONDS)


def test_it_ends_with_its_body_although_the_disk_hangs(tmp_path, monkeypatch):
    hanging, released, over = threading.Event(), threading.Event(), threading.Event()

    def hang(_descriptor):
        hanging.set()
        released.wait(SECONDS)
        over.set()

    monkeypatch.setattr(write_out.os, "fdatasync", hang)
    monkeypatch.setattr(write_out, "_END_SECONDS", 0.05)
    (tmp_path / "file").write_bytes(bytes(LARGE))
    with pytest.raises(KeyboardInterrupt), write_out.flushing(tmp_path):
        assert hanging.wait(SECONDS)
        raise KeyboardInterrupt
    assert not over.is_set()
    released.set()


def test_a_directory_that_is_not_there_yet_is_awaited(tmp_path, flushed):
    _names, arrived = flushed
    with write_out.flushing(tmp_path / "later"):
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "file").write_bytes(bytes(LARGE))
        assert arrived.acquire(timeout=SECONDS)
