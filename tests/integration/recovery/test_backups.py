"""Backups of a real PostgreSQL by a real pgBackRest, and each way in which they go wrong."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from renecinfra.errors import RestoreError, ToolError, UsageError
from renecinfra.recovery import heartbeat, jobs, restore_points
from renecinfra.recovery.engine.wal import Segment
from renecinfra.recovery.keeper import make_directories
from renecinfra.recovery.observation import Observer
from renecinfra.recovery.primary import read_state, system_identifier
from renecinfra.recovery.protected import RepositoryPlace
from renecinfra.recovery.records import Records
from renecinfra.recovery.repository import PgBackRest
from renecinfra.recovery.verification import verify
from renecinfra.recovery.window import keep_control_file

from .lab import Lab, service_identity

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def make_lab(name: str) -> Lab:
    root = Path(tempfile.mkdtemp(prefix=f"renec-{name}-", dir="/var/tmp"))
    root.chmod(0o755)
    return Lab(root / "x")


@pytest.fixture(scope="module")
def lab():
    made = make_lab("backups")
    try:
        made.up()
        heartbeat.prepare(made.database)
        heartbeat.beat(made.database)
        made.archived()
        yield made
    finally:
        made.down()
        shutil.rmtree(made.root.parent, ignore_errors=True)


class Damage:
    """Damages files of the repository, and puts back what was there; what was archived meanwhile stays."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self._saved: list[tuple[Path, Path]] = []

    def _save(self, path: Path) -> None:
        saved = self.repository.parent / f"saved-{len(self._saved)}"
        subprocess.run(["cp", "-a", path, saved], check=True)
        self._saved.append((path, saved))

    def flip(self, path: Path) -> None:
        self._save(path)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def delete(self, path: Path) -> None:
        self._save(path)
        path.unlink()

    def undo(self) -> None:
        for path, saved in self._saved:
            if path.parent.exists():
                saved.rename(path)


@pytest.fixture
def damage(lab):
    made = Damage(lab.root / "repo")
    yield made
    made.undo()


def policy(lab: Lab):
    """The receiver of the lab has no name of its own."""
    return replace(lab.database.policy, receiver=False)


def wrong(lab: Lab, level: int = 1) -> list[str]:
    found = verify(lab.backrest, policy=policy(lab), state=read_state(lab.database), level=level)
    return [finding.name for finding in found.findings if not finding.ok]


def segments(repository: Path) -> list[Path]:
    return sorted(repository.glob("archive/lab/*/*/0*-*"))


# --- all is well


def test_everything_is_whole(lab: Lab) -> None:
    made = verify(lab.backrest, policy=policy(lab), state=read_state(lab.database))
    assert [(f.name, f.detail) for f in made.findings if not f.ok] == []
    assert made.good_backups == tuple(b.label for b in lab.backrest.info().backups)


def test_after_a_crash_commits_reach_the_archive_before_the_next_checkpoint(lab: Lab) -> None:
    lab.stop_receiver()
    lab.stop("immediate")
    lab.start()
    lab.receive()
    heartbeat.beat(lab.database)
    assert heartbeat.switch_overdue(lab.database, 3600.0) is None
    name = heartbeat.switch_overdue(lab.database, 0.0)
    assert name is not None
    deadline = time.monotonic() + 20
    while (lab.sql("SELECT last_archived_wal FROM pg_stat_archiver")[0][0] or "") < name:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert heartbeat.switch_overdue(lab.database, 3600.0) is None


def test_the_window_ends_at_the_last_archived_commit(lab: Lab) -> None:
    keep_control_file(lab.backrest, read_state(lab.database).system_id)
    at = heartbeat.beat(lab.database)
    lab.archived()
    seen = Observer(lab.database).observe()
    assert seen.problems == ()
    assert seen.window is not None
    assert seen.window.end is not None
    # The commit is a moment after the clock was read for the row.
    assert 0 <= (seen.window.end - at).total_seconds() < 1
    assert seen.rto is not None
    assert seen.rpo is not None
    assert seen.rpo_archive is not None
    assert seen.rpo_archive < 10


def test_the_archive_can_be_read_without_the_database(lab: Lab) -> None:
    state = read_state(lab.database)
    keep_control_file(lab.backrest, state.system_id)
    assert system_identifier(lab.database.data) == state.system_id
    lost = replace(lab.database, data="/nonexistent", socket="/nonexistent")
    seen = Observer(lost).observe()
    assert seen.primary is None
    assert len(seen.problems) == 1
    assert seen.window is not None
    assert seen.window.end is not None


def test_a_backup_is_taken_and_remembered(lab: Lab) -> None:
    lines: list[str] = []
    taken = jobs.take_backup(lab.backrest, "incr", reason="a test", on_line=lines.append)
    [one] = taken.backups
    assert one.type == "incr"
    assert one.annotations == {"reason": "a test"}
    assert any("%)" in line for line in lines)
    record = Records(lab.database).last("backup")
    assert record is not None
    assert (record.ok, record.facts["label"]) == (True, one.label)


def test_a_backup_that_is_under_way_is_refused_or_waited_for(lab: Lab) -> None:
    before = Records(lab.database).last("backup")
    lock = lab.root / "lock" / "lab-backup.lock"
    lab.run("touch", lock)
    held = lock.open("a")
    fcntl.flock(held, fcntl.LOCK_EX)  # as a pgBackRest that makes one
    with pytest.raises(RestoreError) as caught:
        jobs.take_backup(lab.backrest, "incr", reason="at once")
    assert caught.value.id == "backup-running"
    assert Records(lab.database).last("backup") == before, "it did not fail: it was not its turn"
    waited: list[float] = []

    def let_go() -> None:
        waited.append(time.monotonic())
        threading.Timer(1.5, held.close).start()

    taken = jobs.take_backup(lab.backrest, "incr", reason="in turn", on_wait=let_go)
    assert time.monotonic() - waited[0] > 1.5
    assert len(waited) == 1
    assert taken.backups[0].annotations == {"reason": "in turn"}


def test_a_restore_point_is_made_once(lab: Lab) -> None:
    made = restore_points.create(lab.database, "before-x", "a test")
    assert restore_points.points(lab.database)[-1] == made
    with pytest.raises(UsageError) as caught:
        restore_points.create(lab.database, "before-x", "again")
    assert caught.value.id == "restore-point-exists"
    with pytest.raises(UsageError):
        restore_points.create(lab.database, "a b; DROP", "no name")
    first = restore_points.before(lab.database, "migration")
    second = restore_points.before(lab.database, "migration")
    assert first.name.startswith("before-migration-")
    assert first.name != second.name
    assert lab.sql("SELECT %s::pg_lsn <= pg_current_wal_insert_lsn()", made.lsn) == [(True,)]


# --- damage is found although pgBackRest's verify exits 0


def test_a_flipped_bit_in_a_backup_is_found(lab: Lab, damage: Damage) -> None:
    damage.flip(max(damage.repository.glob("backup/lab/*F/bundle/*"), key=lambda path: path.stat().st_size))
    assert any(name.startswith("backup 2") for name in wrong(lab))
    with pytest.raises(jobs.VerifyError) as caught:
        jobs.verify_and_record(lab.backrest, read_state(lab.database))
    label = next(one.label for one in lab.backrest.info().backups if one.type == "full")
    assert label in caught.value.verified.bad_backups
    assert caught.value.exit_code == 9
    record = Records(lab.database).last("verify")
    assert record is not None
    assert not record.ok
    assert label in record.facts["bad_backups"]


def test_a_flipped_bit_in_the_archive_is_found(lab: Lab, damage: Damage) -> None:
    damage.flip(segments(damage.repository)[1])
    assert any(name.startswith("archive ") for name in wrong(lab))


def test_a_damaged_manifest_is_found_although_its_copy_serves(lab: Lab, damage: Damage) -> None:
    damage.flip(next(iter(damage.repository.glob("backup/lab/*F/backup.manifest"))))
    assert any("backup.manifest" in name for name in wrong(lab))


def test_a_deleted_segment_is_found_and_parts_the_window(lab: Lab, damage: Damage) -> None:
    keep_control_file(lab.backrest, read_state(lab.database).system_id)
    for _ in range(3):
        heartbeat.beat(lab.database)
        lab.archived()
    start = Segment.parse(lab.backrest.info().backups[-1].wal_last).number
    after = [path for path in segments(damage.repository) if Segment.parse(path.name[:24]).number > start]
    damage.delete(after[0])
    assert wrong(lab, level=0) == ["continuity of repository 1", "history of repository 1"]
    seen = Observer(lab.database).observe()
    assert seen.window is not None
    spans = seen.window.spans
    assert spans[0].missing == Segment.parse(after[0].name[:24])
    # A backup after the gap makes the present safe again, and the gap stays visible.
    jobs.take_backup(lab.backrest, "full", reason="after the gap")
    again = Observer(lab.database).observe().window
    assert again is not None
    assert len(again.spans) == 2
    assert len(again.gaps) == 1
    assert again.spans[1].missing is None
    assert wrong(lab, level=0) == ["history of repository 1"]


def test_damaged_pages_of_the_database_fail_the_backup(lab: Lab) -> None:
    """pgBackRest exits 0 with a warning; the backup is there, and says so for ever."""
    lab.sql("CREATE TABLE fragile AS SELECT n, repeat('x', 500) AS t FROM generate_series(1, 500) AS n")
    lab.sql("CHECKPOINT")
    relation = lab.sql("SELECT pg_relation_filepath('fragile')")[0][0]
    lab.stop()
    try:
        path = lab.data / relation
        data = bytearray(path.read_bytes())
        data[8192 + 4000] ^= 0xFF
        path.write_bytes(data)
    finally:
        lab.start()
        lab.stop_receiver()
        lab.receive()
    try:
        with pytest.raises(RestoreError) as caught:
            jobs.take_backup(lab.backrest, "full", reason="damaged")
        assert caught.value.id == "database-pages-damaged"
        assert any(relation in line for line in caught.value.details)
        bad = lab.backrest.info().backups[-1]
        assert bad.damaged
        assert f"pages of backup {bad.label}" in wrong(lab)
    finally:
        lab.sql("DROP TABLE fragile")
        lab.backrest.expire(1, label=lab.backrest.info().backups[-1].label)


# --- the repository cannot be used


def test_a_wrong_key_is_said_to_be_one(lab: Lab, tmp_path: Path) -> None:
    secrets = lab.root / "wrong"
    lab.write(secrets / "cipher.conf", "[global]\nrepo1-cipher-pass=wrong\n")
    with pytest.raises(RestoreError) as caught:
        PgBackRest(replace(lab.database, secrets=str(secrets))).backup("incr", timeout=60)
    assert caught.value.id == "backup-key-wrong"
    assert "correct-horse" not in str(caught.value.details)


def test_an_archive_that_cannot_be_written_is_seen_and_caught_up_with(lab: Lab) -> None:
    """An hour of it differs by the number of segments only; PostgreSQL keeps them all, and nothing is
    lost."""
    repository = lab.root / "repo"
    away = lab.root / "repo-away"
    repository.rename(away)
    try:
        for _ in range(20):
            lab.sql("SELECT pg_logical_emit_message(false, 'test', 'x')")
            lab.sql("SELECT pg_switch_wal()")
        state = read_state(lab.database)
        assert state.ready > 16
        [queue] = [
            finding
            for finding in verify(lab.backrest, policy=policy(lab), state=state, level=0).findings
            if finding.name == "archive queue"
        ]
        assert not queue.ok
        with pytest.raises((RestoreError, ToolError)):
            jobs.take_backup(lab.backrest, "incr", reason="no repository")
        record = Records(lab.database).last("backup")
        assert record is not None
        assert not record.ok
    finally:
        away.rename(repository)
    lab.sql("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and read_state(lab.database).ready > 0:
        time.sleep(0.2)
    assert read_state(lab.database).ready == 0
    assert wrong(lab, level=0) == []


def test_an_archive_command_that_is_killed_counts_no_failure_and_is_seen(lab: Lab) -> None:
    lab.archived()
    command = lab.sql("SHOW archive_command")[0][0]
    lab.sql("ALTER SYSTEM SET archive_command = 'exit 130'")
    before = read_state(lab.database).failed
    try:
        lab.sql("SELECT pg_reload_conf()")
        time.sleep(0.3)
        lab.sql("SELECT pg_logical_emit_message(false, 'test', 'x')")
        lab.sql("SELECT pg_switch_wal()")
        time.sleep(1)
        state = read_state(lab.database)
        assert state.failed == before
        assert state.ready >= 1
        hours = replace(state, now=state.now + timedelta(hours=1))
        found = verify(lab.backrest, policy=policy(lab), state=hours, level=0).findings
        assert "archive age" in [finding.name for finding in found if not finding.ok]
    finally:
        quoted = command.replace("'", "''")
        lab.sql(f"ALTER SYSTEM SET archive_command = '{quoted}'")
        lab.sql("SELECT pg_reload_conf()")
    lab.archived()


@pytest.mark.slow  # pgBackRest tries again for a while
@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to mount a small disk")
def test_a_full_repository_is_said_to_be_full(lab: Lab) -> None:
    place = lab.root / "small"
    lab.run("mkdir", "-m", "0700", place)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=1m,mode=0700,uid={service_identity()[0]}", "tmpfs", place],
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this machine does not let root mount anything")
    try:
        config = (
            Path(lab.database.config)
            .read_text()
            .replace(f"repo1-path={lab.root}/repo", f"repo1-path={place}")
        )
        lab.write(lab.root / "etc" / "small.conf", config)
        small = PgBackRest(
            replace(
                lab.database,
                config=str(lab.root / "etc" / "small.conf"),
                repositories=(RepositoryPlace(1, "posix", str(place)),),
            )
        )
        small.create_stanza()
        with pytest.raises(RestoreError) as caught:
            small.run([*small_argv(small), "--no-archive-check", "backup"], timeout=60)
        assert caught.value.id == "backup-repository-full"
    finally:
        subprocess.run(["umount", place], check=True)


def small_argv(tool: PgBackRest) -> list[str]:
    from renecinfra.recovery.repository import base_argv

    return base_argv(tool.database, "backup", ["--type=full"])[:-1]


# --- repositories and databases that change


def test_a_repository_that_is_added_gets_its_stanza_and_backups(lab: Lab) -> None:
    place = lab.root / "second"
    config = (
        Path(lab.database.config)
        .read_text()
        .replace("[lab]", f"repo2-path={place}\nrepo2-cipher-type=aes-256-cbc\nrepo2-retention-full=9\n[lab]")
    )
    lab.write(lab.root / "etc" / "two.conf", config)
    secrets = lab.root / "two-secrets"
    lab.write(
        secrets / "cipher.conf", "[global]\nrepo1-cipher-pass=correct-horse\nrepo2-cipher-pass=battery\n"
    )
    database = replace(
        lab.database,
        config=str(lab.root / "etc" / "two.conf"),
        secrets=str(secrets),
        repositories=(*lab.database.repositories, RepositoryPlace(2, "posix", str(place))),
    )
    lab.run("mkdir", "-m", "0700", place)
    tool = PgBackRest(database)
    found = jobs.ensure_stanza(tool, read_state(database).system_id)
    assert {one.number for one in found.states} == {1, 2}
    assert found.of_current(2) == ()
    assert found.of_current(1)
    again = jobs.ensure_stanza(tool, read_state(database).system_id)
    assert again.histories == found.histories


@pytest.mark.slow  # a second database; the end-to-end tests make an environment anew as well
def test_a_database_made_anew_goes_on_in_the_same_repository() -> None:
    old = make_lab("anew")
    try:
        old.up()
        before = old.backrest.info().backups
        old.down()
        shutil.rmtree(old.data)
        old.run(
            old.programs["initdb"], "-D", old.data, "-U", "postgres", "-A", "trust", "-N", "--data-checksums"
        )
        archive = (
            "archive_mode = on\nport = 5499\nlisten_addresses = ''\n"
            f"unix_socket_directories = '{old.socket}'\n"
        )
        from renecinfra.recovery.repository import archive_push_command

        quoted = archive_push_command(old.database, str(old.data)).replace("'", "''")
        old.write(old.data / "postgresql.auto.conf", f"{archive}archive_command = '{quoted}'\n")
        old.start()
        with pytest.raises(RestoreError):
            old.backrest.backup("full", timeout=60)
        state = read_state(old.database)
        found = jobs.ensure_stanza(old.backrest, state.system_id)
        assert found.of_current() == ()
        assert found.backups == before
        jobs.take_backup(old.backrest, "full", reason="first")
        now = old.backrest.info()
        assert len(now.backups) == len(before) + 1
        assert len(now.of_current()) == 1
    finally:
        old.down()
        shutil.rmtree(old.root.parent, ignore_errors=True)


def test_directories_are_made_for_the_service_alone(lab: Lab, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the service makes them as its own user")
    make_directories(replace(lab.database, state=str(tmp_path / "state"), work=str(tmp_path / "work")))
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
