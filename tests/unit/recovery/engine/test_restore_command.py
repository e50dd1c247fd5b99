"""The strict restore_command, run for real with an archive that answers as told."""

from __future__ import annotations

import subprocess

import pytest

from renecinfra.recovery.engine import restore_command
from renecinfra.recovery.engine.wal import Segment

LAST = Segment.parse("0000000100000000000000FE")
FULL = b"x" * (16 << 20)


@pytest.fixture
def fetch(tmp_path):
    """Runs the script in a directory with a blank in its name; the archive exits with ``code``."""
    place = tmp_path / "a place"
    place.mkdir()
    receiver = place / "re'ceiver"
    receiver.mkdir()

    def run(file, code=1, last=LAST, content="archived"):
        archive = place / "archive-get"
        archive.write_text(f'[ {code} -ne 0 ] || printf {content} >"$2"\nexit {code}\n')
        script = place / "fetch.sh"
        script.write_text(restore_command.script(["sh", str(archive)], last, [place / "missing", receiver]))
        target = place / "RECOVERYXLOG"
        target.unlink(missing_ok=True)
        done = subprocess.run(
            ["sh", script, file, target], capture_output=True, text=True, timeout=20, check=False
        )
        return done.returncode, target, done.stderr

    run.receiver = receiver
    return run


def test_what_the_archive_has_comes_from_it(fetch):
    (fetch.receiver / LAST.name).write_bytes(FULL)
    code, target, _ = fetch(LAST.name, code=0)
    assert code == 0
    assert target.read_text() == "archived"


@pytest.mark.parametrize("archive", [1, 25, 56, 82, 103, 127])
@pytest.mark.parametrize("suffix", ["", ".partial"])
def test_what_it_has_not_comes_from_the_receiver(fetch, archive, suffix):
    (fetch.receiver / f"{LAST.name}{suffix}").write_bytes(FULL)
    code, target, said = fetch(LAST.name, code=archive)
    assert code == 0
    assert target.stat().st_size == len(FULL)
    assert f"exit code {archive}" in said


def test_a_segment_of_another_size_is_not_taken(fetch):
    (fetch.receiver / LAST.name).write_bytes(b"half")
    code, target, _ = fetch(LAST.name, code=25)
    assert code == restore_command.ABORT
    assert not target.exists()


def test_a_history_file_may_have_any_size(fetch):
    (fetch.receiver / "00000002.history").write_text("1\t0/3000148\tno recovery target specified\n")
    assert fetch("00000002.history")[0] == 0


@pytest.mark.parametrize("file", ["0000000100000000000000FD", "000000010000000000000001", LAST.name])
def test_a_gap_ends_the_recovery(fetch, file):
    code, _, said = fetch(file)
    assert code == restore_command.ABORT
    assert "gap" in said or "not any more" in said


@pytest.mark.parametrize("archive", [2, 25, 39, 56, 82, 103, 127])
def test_an_archive_that_fails_ends_the_recovery(fetch, archive):
    code, _, said = fetch("0000000100000000000000FF", code=archive)
    assert code == restore_command.ABORT
    assert f"exit code {archive}" in said


@pytest.mark.parametrize(
    "file",
    ["0000000100000000000000FF", "000000010000000100000000", "000000020000000000000001", "00000002.history"],
)
def test_past_the_end_is_the_end(fetch, file):
    assert fetch(file)[0] == 1


def test_an_empty_archive_has_no_gap(fetch):
    assert fetch("000000010000000000000001", last=None)[0] == 1


def test_the_setting_quotes_the_path(tmp_path):
    assert restore_command.setting(tmp_path / "100% sure" / "f.sh").endswith("100%% sure/f.sh' %f %p")


def test_reading_ahead_begins_after_a_few_and_not_for_what_was_just_given(tmp_path):
    place = tmp_path / "a place"
    place.mkdir()
    (place / "get").write_text('echo "$1 $2" >>"$0.log"; echo x >"$3"\n')
    commands = (["sh", str(place / "get"), "alone"], ["sh", str(place / "get"), "ahead"])
    script = place / "fetch.sh"
    script.write_text(restore_command.script(commands[0], LAST, [], ahead=commands[1]))
    asked = [f"00000001000000000000000{number}" for number in (1, 2, 3, 4, 5, 6, 6)]
    for name in asked:
        subprocess.run(["sh", script, name, place / "target"], check=True, timeout=20)
    kinds = ["alone"] * 4 + ["ahead"] * 2 + ["alone"]
    told = (place / "get.log").read_text().splitlines()
    assert told == [f"{kind} {name}" for kind, name in zip(kinds, asked, strict=True)]


@pytest.mark.parametrize("given", ["0 none", "9 0000000100000000000000FD"])
def test_reading_ahead_keeps_the_exit_code(tmp_path, given):
    (tmp_path / "given").write_text(f"{given}\n")
    script = tmp_path / "fetch.sh"
    commands = (["sh", "-c", "exit 25"], ["sh", "-c", "exit 1"])
    script.write_text(restore_command.script(commands[0], None, [], ahead=commands[1]))
    done = subprocess.run(["sh", script, "0000000100000000000000FE", tmp_path / "t"], check=False, timeout=20)
    assert done.returncode == (restore_command.ABORT if given.startswith("0") else 1)
