"""Records and lineage: appended whole, read back, and a line that a crash cut off."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from renecinfra.recovery.lineage import Lineage
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Records, read_document, write_document


def test_records_come_back_in_order(database: ProtectedDatabase) -> None:
    records = Records(database)
    records.append("backup", label="a", seconds=1.5)
    records.append("verify", ok=False, bad_backups=["a"])
    records.append("backup", ok=False, error="backup-key-wrong")
    assert [(r.kind, r.ok) for r in records.all()] == [("backup", True), ("verify", False), ("backup", False)]
    assert records.last("backup", ok=True).facts == {"label": "a", "seconds": 1.5}
    assert records.last("drill") is None
    mode = (Path(database.state) / "records.jsonl").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_line_that_was_cut_off_is_left_out(database: ProtectedDatabase) -> None:
    records = Records(database)
    records.append("backup", label="a")
    path = Path(database.state) / "records.jsonl"
    path.write_text(path.read_text() + '{"kind": "ver')
    assert [record.facts["label"] for record in records.all()] == ["a"]
    records.append("backup", label="b")
    assert [record.facts["label"] for record in records.all()] == ["a", "b"]


def test_damage_before_the_end_is_not_passed_over(database: ProtectedDatabase) -> None:
    path = Path(database.state) / "records.jsonl"
    path.write_text('{"kind": "x"\n{"kind": "backup", "at": "2026-11-25T10:00:00+00:00"}\n{"kind": "b"\n')
    with pytest.raises(ValueError, match="line 1"):
        Records(database).all()


def test_a_planted_link_is_not_followed(database: ProtectedDatabase, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("")
    (Path(database.state) / "records.jsonl").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        Records(database).append("backup")
    assert victim.read_text() == ""


def test_documents_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_document(path) is None
    write_document(path, {"a": 1}, (0, 0))
    write_document(path, {"a": 2}, (0, 0))
    assert read_document(path) == {"a": 2}
    assert [one.name for one in tmp_path.iterdir()] == ["state.json"]


def test_lineage_says_who_wrote_when(database: ProtectedDatabase) -> None:
    lineage = Lineage(database)
    assert lineage.current() is None
    first = lineage.record("77", 1, "first seen")
    assert lineage.record("77", 1, "first seen") == first
    second = lineage.record("77", 2, "restore", parent=1, fork="0/5000148")
    assert lineage.entries() == [first, second]
    assert lineage.at(first.at) == first
    assert lineage.at(second.at) == second
    made_anew = lineage.record("88", 1, "first seen")
    assert lineage.current() == made_anew
