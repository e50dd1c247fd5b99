"""Restoring beside, for real: exactly the rows that were there, or a loud failure."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from renecinfra.errors import RenecError
from renecinfra.recovery.engine.beside import Beside
from renecinfra.recovery.engine.recipe import Recipe

from .lab import running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def lab():
    with running(
        "CREATE TABLE t (n int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())",
    ) as made:
        yield made


@pytest.fixture
def beside(lab):
    made = Beside(lab.database, lab.data.parent / "restores" / "one", purpose="r", marker="lab/restore")
    yield made
    made.remove()


def recipe(lab, target=None, sources=(), archived=None, timeline=1):
    repository = lab.backrest.info()
    backup = repository.of_current()[0]
    last = archived or max(one.last for one in repository.archives if one.last)
    return Recipe(backup.label, 1, timeline, target or {}, last, tuple(str(s) for s in sources))


def rows(beside):
    with beside.connected() as connection:
        return [row[0] for row in connection.execute("SELECT n FROM t ORDER BY n").fetchall()]


def insert(lab, count):
    """Numbered rows, one commit each; returns their numbers' end."""
    with lab.connected() as connection:
        first = connection.execute("SELECT coalesce(max(n), 0) + 1 FROM t").fetchone()[0]
        for number in range(first, first + count):
            connection.execute("INSERT INTO t (n) VALUES (%s)", (number,))
    return first + count - 1


def test_to_a_moment_gives_exactly_its_rows(lab, beside):
    last = insert(lab, 40)
    at = lab.now()
    insert(lab, 7)
    lab.archived()
    made = recipe(lab, {"recovery_target_time": at.isoformat(" ")})
    beside.fetch(made)
    beside.start(made)
    end = beside.watch(lambda seen: None)
    assert rows(beside) == list(range(1, last + 1))
    assert end.timeline == 2
    assert end.last_commit <= at
    assert lab.sql("SELECT count(*) FROM t")[0][0] == last + 7  # the running database is as it was
    beside.stop()
    assert beside.control()["Database cluster state"] == "shut down"


def test_latest_takes_what_only_the_receiver_has(lab, beside):
    last = insert(lab, 25)
    sources = [lab.receiver]
    made = recipe(lab, sources=sources)
    beside.fetch(made)
    beside.start(made)
    beside.watch(lambda seen: None)
    assert rows(beside) == list(range(1, last + 1))


def test_a_gap_in_the_archive_fails_loudly(lab, beside):
    insert(lab, 5)
    lab.archived()
    insert(lab, 5)
    lab.archived()
    made = recipe(lab)
    segments = sorted(
        path for path in (lab.root / "repo" / "archive").rglob("*.zst") if path.name[:8] == "00000001"
    )
    removed = segments[-2]
    kept = removed.with_name("kept")
    removed.rename(kept)
    try:
        beside.fetch(made)
        beside.start(made)
        with pytest.raises(RenecError) as caught:
            beside.watch(lambda seen: None)
    finally:
        kept.rename(removed)
    assert caught.value.id == "restore-gap"
    assert removed.name[:24] in caught.value.message


def test_a_damaged_segment_fails_loudly_and_the_receiver_mends_it(lab, beside):
    last = insert(lab, 5)
    lab.archived()
    made = recipe(lab)
    segment = max(p for p in (lab.root / "repo" / "archive").rglob("*.zst") if p.name[:8] == "00000001")
    good = segment.read_bytes()
    segment.write_bytes(good[: len(good) // 2])
    try:
        beside.fetch(made)
        beside.start(made)
        with pytest.raises(RenecError) as caught:
            beside.watch(lambda seen: None)
        assert caught.value.id == "restore-wal-damaged"
        mended = recipe(lab, sources=[lab.receiver])
        beside.start(mended)
        beside.watch(lambda seen: None)
        assert rows(beside) == list(range(1, last + 1))
    finally:
        segment.write_bytes(good)


def test_a_target_after_everything_fails_loudly(lab, beside):
    at = lab.now().replace(year=2099)
    made = recipe(lab, {"recovery_target_time": at.isoformat(" ")})
    beside.fetch(made)
    beside.start(made)
    with pytest.raises(RenecError) as caught:
        beside.watch(lambda seen: None)
    assert caught.value.id == "restore-target-unreached"


def test_what_was_fetched_before_an_interruption_is_used_again(lab, beside):
    made = recipe(lab)
    beside.fetch(made)
    mark = beside.cluster / "PG_VERSION"
    before = mark.stat().st_ino
    beside.fetch(made)
    beside.files.remove(beside.directory / "fetched")
    beside.fetch(made)
    assert mark.stat().st_ino == before
    began = time.monotonic()
    beside.start(made)
    beside.start(made)
    beside.watch(lambda seen: None)
    beside.stop(immediate=True)
    beside.serve()
    assert beside.end().timeline == 2
    assert time.monotonic() - began < 60


def test_a_sound_database_passes_its_checks_and_a_damaged_one_fails(lab, beside):
    from renecinfra.recovery.engine import checking

    last = insert(lab, 3)
    lab.archived()
    made = recipe(lab)
    beside.fetch(made)
    beside.start(made)
    beside.watch(lambda seen: None)
    assertions = {
        "has rows": "SELECT count(*) > 0 FROM t",
        "is empty": "SELECT count(*) = 0 FROM t",
        "odd": "SELEC",
    }
    findings, tables = checking.inspect(beside, assertions)
    assert {one.name: one.ok for one in findings} == {
        "opens": True, "rows": True, "amcheck": True, "has rows": True, "is empty": False, "odd": False,
    }  # fmt: skip
    (table,) = tables
    assert (table.name, table.rows, table.exact) == ("public.t", last, True)
    assert table.latest
    with beside.connected() as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'"
        ).fetchone() == (0,)
        path = connection.execute("SELECT pg_relation_filepath('t')").fetchone()[0]
    beside.stop()
    assert checking.checksums(beside).ok
    with (beside.cluster / path).open("r+b") as stream:
        stream.seek(4000)
        stream.write(b"damage")
    assert not checking.checksums(beside).ok
    with pytest.raises(RenecError) as caught:
        checking.require(findings, "lab")
    assert "is empty" in caught.value.message


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("wrong key", "backup-key-wrong"),
        ("no repository", "backup-set-missing"),
        ("no key", "backup-configuration"),
    ],
)
def test_a_restore_without_key_or_repository_says_so_and_leaves_nothing_behind(lab, what, error):
    secrets, repository = lab.root / "other", lab.root / "repo"
    given = {"wrong key": "repo1-cipher-pass=wrong\n", "no key": ""}.get(what)
    database = lab.database
    if given is not None:
        lab.write(secrets / "cipher.conf", f"[global]\n{given}")
        database = replace(database, secrets=str(secrets))
    made = Beside(database, lab.data.parent / "restores" / "none", purpose="r", marker="lab/restore")
    wanted = recipe(lab)
    if what == "no repository":
        repository.rename(lab.root / "repo-away")
    try:
        with pytest.raises(RenecError) as caught:
            made.fetch(wanted)
    finally:
        if what == "no repository":
            lab.root.joinpath("repo-away").rename(repository)
    assert caught.value.hint
    assert caught.value.id == error
    assert caught.value.message.isprintable()
    assert "correct-horse" not in str(caught.value.details)
    assert not (made.cluster / "PG_VERSION").exists()
    made.remove()
    assert lab.sql("SELECT 1") == [(1,)]  # what runs is as it was
