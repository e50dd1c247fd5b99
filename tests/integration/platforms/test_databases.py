"""PostgreSQL and PgBouncer as the local platform runs them: made, killed, rotated, copied anew."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from renecinfra.platforms.local import databases
from renecinfra.platforms.local.access import database_dsn

pytestmark = pytest.mark.integration


def connect(platform: Any, target: str, **options: Any) -> psycopg.Connection[Any]:
    dsn = database_dsn(platform.profile, platform.host, platform.secrets, target, **options)
    return psycopg.connect(**dsn, connect_timeout=5, autocommit=True, prepare_threshold=None)


def value(platform: Any, target: str, query: str, **options: Any) -> Any:
    with connect(platform, target, **options) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def answers(platform: Any, target: str, query: str = "select true", **options: Any) -> Callable[[], bool]:
    def ask() -> bool:
        # A replica may not have replayed the table yet.
        with contextlib.suppress(psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return bool(value(platform, target, query, **options))
        return False

    return ask


def start_primary(platform: Any) -> None:
    platform.start(databases.PRIMARY)
    platform.wait_for(databases.PRIMARY, answers(platform, "primary"))


def start_replica(platform: Any) -> None:
    platform.start(databases.REPLICA)
    platform.wait_for(databases.REPLICA, answers(platform, "replica", "select pg_is_in_recovery()"))


def start_pooler(platform: Any) -> None:
    platform.start(databases.POOLER)
    platform.wait_for(databases.POOLER, answers(platform, "pooler"))


def execute(platform: Any, *statements: str, target: str = "primary") -> None:
    with connect(platform, target, role="application") as connection:
        for statement in statements:
            connection.execute(statement)


def superuser(platform: Any, statement: str) -> None:
    """As an operator of this machine: over the unix socket, without a password."""
    port = str(platform.profile.local.port("postgresql_primary"))
    with psycopg.connect(
        host=str(platform.host.paths.run), port=port, user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(statement)


def streams(platform: Any) -> Callable[[], bool]:
    return answers(
        platform, "primary", "select exists (select from pg_stat_replication where state = 'streaming')"
    )


def cluster(platform: Any, name: str) -> Path:
    return databases.data_directory(platform.host, name)


@pytest.fixture
def platform(platform: Any, pristine: Path) -> Any:
    """A primary as its first start left it, not running."""
    platform.copy_owned(pristine / databases.PRIMARY, platform.host.paths.data / databases.PRIMARY)
    return platform


@pytest.fixture
def pair(platform: Any, pristine: Path) -> Any:
    """A primary and the replica that follows it, both running."""
    platform.copy_owned(pristine / databases.REPLICA, platform.host.paths.data / databases.REPLICA)
    start_primary(platform)
    start_replica(platform)
    platform.wait_until(streams(platform))
    return platform


def empty_the_disk(platform: Any) -> None:
    shutil.rmtree(platform.host.paths.data / databases.PRIMARY)
    allow_an_empty_database(platform)


def allow_an_empty_database(platform: Any) -> None:
    """What whoever wants to begin anew does, as the primary's log says it."""
    (platform.host.paths.data / f"{databases.PRIMARY}.made").unlink(missing_ok=True)


def test_from_an_empty_disk_through_the_pooler(platform: Any) -> None:
    empty_the_disk(platform)
    start_primary(platform)
    start_pooler(platform)
    execute(platform, "create table t (n int)", "insert into t values (1)", target="pooler")
    assert value(platform, "pooler", "select n from t", role="application") == 1
    assert value(platform, "primary", "show data_checksums") == "on"
    assert value(platform, "primary", "show statement_timeout", role="application") == "30s"
    assert value(platform, "primary", "select 'ÉSTÁNDAR' ilike 'éstándar'") is True
    with connect(platform, "pooler", database="pgbouncer") as console:
        (row,) = [row for row in console.execute("show databases").fetchall() if row[0] == "renec"]
    assert 10 in row


def test_the_monitor_reads_and_does_not_write(platform: Any) -> None:
    start_primary(platform)
    execute(platform, "create table t (n int)")
    assert value(platform, "primary", "select count(*) from t") == 0
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        value(platform, "primary", "insert into t values (1) returning n")
    with connect(platform, "primary") as connection:
        connection.execute("set default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("insert into t values (1)")


def test_nobody_but_the_pooler_gets_at_verifiers(platform: Any) -> None:
    start_primary(platform)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        value(platform, "primary", "select renec_pooler.verifier('renec')", role="application")
    superuser(platform, "create role chief superuser login password 'x'")
    dsn = database_dsn(platform.profile, platform.host, platform.secrets, "primary")
    password = platform.secrets["generated:pooler_password"].value.reveal()
    with psycopg.connect(**dsn | {"user": "renec_pooler", "password": password}) as pooler:
        assert pooler.execute("select count(*) from renec_pooler.verifier('renec_b')").fetchone() == (1,)
        assert pooler.execute("select count(*) from renec_pooler.verifier('chief')").fetchone() == (0,)


def test_an_unknown_user_or_a_wrong_password_is_refused_and_does_not_end_the_pooler(platform: Any) -> None:
    start_primary(platform)
    start_pooler(platform)
    dsn = database_dsn(platform.profile, platform.host, platform.secrets, "pooler", role="application")
    # The owner of the application's objects is a role that nobody logs in as.
    for wrong in ({"user": "nobody_here"}, {"user": "renec"}, {"password": "wrong"}):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**dsn | wrong, connect_timeout=5)
    assert platform.running[databases.POOLER].poll() is None
    assert answers(platform, "pooler")()


def test_a_second_start_makes_nothing_and_a_new_password_is_applied(platform: Any) -> None:
    empty_the_disk(platform)
    start_primary(platform)
    execute(platform, "create table t (n int)")
    old = database_dsn(platform.profile, platform.host, platform.secrets, "primary", role="application")
    assert platform.stop(databases.PRIMARY) == 0
    start_primary(platform)
    platform.stop(databases.PRIMARY)
    assert platform.log(databases.PRIMARY).count("roles and database are as the profile has them") == 1
    platform.rotate()
    start_primary(platform)
    assert value(platform, "primary", "select count(*) from t", role="application") == 0
    # Who has not been started with the new one yet goes on; rotation.retire ends that.
    psycopg.connect(**old).close()


def test_no_password_reaches_a_log(platform: Any) -> None:
    start_primary(platform)
    start_pooler(platform)
    platform.stop(databases.PRIMARY)
    platform.rotate()
    start_primary(platform)
    for name in (databases.PRIMARY, databases.POOLER):
        text = platform.log(name)
        assert "SCRAM-SHA-256$" not in text
        assert "p1-" not in text
        assert "p2-" not in text


@pytest.mark.parametrize("milliseconds", [30, 150, 400, 700, 900])
def test_an_interrupted_first_start_is_finished_by_the_next(platform: Any, milliseconds: int) -> None:
    empty_the_disk(platform)
    process = platform.start(databases.PRIMARY)
    time.sleep(milliseconds / 1000)
    # All at once, as when the machine loses power; the launcher ends what is left of a real one.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    start_primary(platform)
    execute(platform, "create table t (n int)")


def test_a_killed_primary_is_back_with_every_commit_though_a_backend_was_busy(platform: Any) -> None:
    start_primary(platform)
    start_pooler(platform)
    execute(platform, "create table t (n int)", "insert into t values (1)", target="pooler")
    busy = connect(platform, "primary", role="application")
    busy.pgconn.send_query(b"select count(*) from generate_series(1, 10000000000)")
    platform.wait_until(
        answers(
            platform,
            "primary",
            "select exists (select from pg_stat_activity where query like 'select count%generate%')",
        )
    )
    platform.kill(databases.PRIMARY)
    killed = time.monotonic()
    platform.start(databases.PRIMARY)
    platform.wait_until(answers(platform, "pooler", "select true", role="application"))
    assert time.monotonic() - killed < 5
    assert value(platform, "pooler", "select n from t", role="application") == 1
    busy.close()


def test_a_stale_pid_file_with_the_number_of_a_live_process_does_not_matter(platform: Any) -> None:
    start_primary(platform)
    other = platform.start(databases.POOLER)
    platform.kill(databases.PRIMARY)
    pid_file = cluster(platform, databases.PRIMARY) / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(other.pid), *lines[1:]]))
    start_primary(platform)


def test_what_is_not_a_cluster_is_not_written_over(platform: Any) -> None:
    empty_the_disk(platform)
    platform.install(databases.PRIMARY)
    data = cluster(platform, databases.PRIMARY)
    data.mkdir(parents=True)
    (data / "precious").write_text("kept")
    assert platform.start(databases.PRIMARY).wait(timeout=10) == 1
    assert "is no database cluster" in platform.log(databases.PRIMARY)
    assert (data / "precious").read_text() == "kept"


def test_the_replica_follows_and_outlives_restarts_of_the_primary(pair: Any) -> None:
    execute(pair, "create table t (n int)", "insert into t values (1)")
    pair.wait_until(answers(pair, "replica", "select exists (select from t)", role="application"))
    pair.kill(databases.PRIMARY)
    assert value(pair, "replica", "select n from t", role="application") == 1
    start_primary(pair)
    pair.wait_until(streams(pair))
    execute(pair, "insert into t values (2)")
    pair.wait_until(answers(pair, "replica", "select exists (select from t where n = 2)", role="application"))
    assert "copying again" not in pair.log(databases.REPLICA).lower()


def test_a_killed_replica_goes_on_with_the_copy_it_has(pair: Any) -> None:
    inode = cluster(pair, databases.REPLICA).stat().st_ino
    pair.kill(databases.REPLICA)
    execute(pair, "create table t (n int)", "insert into t values (1)")
    start_replica(pair)
    pair.wait_until(answers(pair, "replica", "select exists (select from t)", role="application"))
    assert cluster(pair, databases.REPLICA).stat().st_ino == inode


def test_the_replica_starts_while_the_primary_is_down(pair: Any) -> None:
    pair.stop(databases.REPLICA)
    pair.stop(databases.PRIMARY)
    start_replica(pair)
    assert "cannot be asked" in pair.log(databases.REPLICA)
    start_primary(pair)
    pair.wait_until(streams(pair))


def test_a_replica_of_another_cluster_is_copied_again(pair: Any) -> None:
    pair.stop(databases.REPLICA)
    pair.stop(databases.PRIMARY)
    shutil.rmtree(cluster(pair, databases.PRIMARY))
    allow_an_empty_database(pair)
    start_primary(pair)
    start_replica(pair)
    assert "a copy of another cluster. Copying again" in pair.log(databases.REPLICA)
    pair.wait_until(streams(pair))


def test_no_empty_database_is_made_where_one_is_gone(pair: Any) -> None:
    pair.stop(databases.PRIMARY)
    shutil.rmtree(cluster(pair, databases.PRIMARY).parent)
    pair.start(databases.PRIMARY)
    pair.wait_until(lambda: "bring it back with `renecinfra restore`" in pair.log(databases.PRIMARY))
    assert not cluster(pair, databases.PRIMARY).exists()
    pair.wait_until(answers(pair, "replica", "select pg_is_in_recovery()"))


def test_a_replica_ahead_of_a_primary_set_back_is_copied_again(pair: Any) -> None:
    pair.stop(databases.REPLICA)
    pair.stop(databases.PRIMARY)
    data = cluster(pair, databases.PRIMARY)
    pair.copy_owned(data, data.with_name("earlier"))
    start_primary(pair)
    start_replica(pair)
    execute(pair, "create table lost as select generate_series(1, 100000) as n")
    superuser(pair, "checkpoint")
    pair.wait_until(answers(pair, "replica", "select exists (select from lost)", role="application"))
    pair.stop(databases.REPLICA)
    pair.stop(databases.PRIMARY)
    shutil.rmtree(data)
    data.with_name("earlier").rename(data)
    start_primary(pair)
    start_replica(pair)
    assert "ahead of the primary" in pair.log(databases.REPLICA)
    pair.wait_until(streams(pair))
    assert value(pair, "replica", "select to_regclass('lost')", role="application") is None


def promote_another(platform: Any, statements: Callable[[], None] | None) -> None:
    """Replace the primary by its own standby, promoted: a primary on a new timeline, as after a restore."""
    platform.stop(databases.REPLICA)
    platform.stop(databases.PRIMARY)
    data = cluster(platform, databases.PRIMARY)
    if statements is not None:
        platform.copy_owned(data, data.with_name("earlier"))
        start_primary(platform)
        start_replica(platform)
        statements()
        platform.stop(databases.REPLICA)
        platform.stop(databases.PRIMARY)
        shutil.rmtree(data)
        data.with_name("earlier").rename(data)
    (data / "recovery.signal").touch()
    (data / "postgresql.auto.conf").write_text("restore_command = 'false'\n")
    for name in ("recovery.signal", "postgresql.auto.conf"):
        os.chown(data / name, platform.host.user.uid, platform.host.user.gid)
    start_primary(platform)
    platform.wait_until(answers(platform, "primary", "select not pg_is_in_recovery()"))


def test_a_replica_follows_a_primary_on_a_later_timeline(pair: Any) -> None:
    execute(pair, "create table t (n int)")
    promote_another(pair, None)
    start_replica(pair)
    pair.wait_until(streams(pair))
    execute(pair, "insert into t values (1)")
    pair.wait_until(answers(pair, "replica", "select exists (select from t)", role="application"))
    assert "Copying again" not in pair.log(databases.REPLICA)


def test_a_replica_past_the_fork_of_the_primarys_timeline_is_copied_again(pair: Any) -> None:
    def write_more() -> None:
        execute(pair, "create table lost as select generate_series(1, 100000) as n")
        superuser(pair, "checkpoint")
        pair.wait_until(answers(pair, "replica", "select exists (select from lost)", role="application"))

    promote_another(pair, write_more)
    start_replica(pair)
    assert "where the primary's timeline began. Copying again" in pair.log(databases.REPLICA)
    pair.wait_until(streams(pair))


def test_a_replica_whose_wal_is_gone_is_copied_again(pair: Any) -> None:
    pair.stop(databases.REPLICA)
    superuser(pair, f"select pg_drop_replication_slot('{databases.SLOT}')")
    for _ in range(3):
        superuser(pair, "select pg_switch_wal()")
        superuser(pair, "checkpoint")
    execute(pair, "create table t (n int)")
    start_replica(pair)
    assert "the primary no longer has the WAL" in pair.log(databases.REPLICA)
    pair.wait_until(streams(pair))


def test_a_lost_slot_is_made_again_while_its_wal_is_there(pair: Any) -> None:
    pair.stop(databases.REPLICA)
    superuser(pair, f"select pg_drop_replication_slot('{databases.SLOT}')")
    start_replica(pair)
    pair.wait_until(streams(pair))
    assert "Copying again" not in pair.log(databases.REPLICA)


def test_a_promoted_replica_is_no_copy_and_is_kept(pair: Any) -> None:
    pair.stop(databases.REPLICA)
    (cluster(pair, databases.REPLICA) / "standby.signal").unlink()
    assert pair.start(databases.REPLICA).wait(timeout=10) == 1
    assert "was promoted" in pair.log(databases.REPLICA)


@pytest.mark.parametrize("milliseconds", [50, 150, 300])
def test_an_interrupted_copy_is_finished_by_the_next_start(platform: Any, milliseconds: int) -> None:
    start_primary(platform)
    process = platform.start(databases.REPLICA)
    time.sleep(milliseconds / 1000)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    start_replica(platform)
    platform.wait_until(streams(platform))


def test_the_replica_allows_the_connections_that_the_primary_had(pair: Any) -> None:
    pair.stop(databases.REPLICA)
    pair.change(database=pair.profile.database.model_copy(update={"max_connections": 30}))
    start_replica(pair)
    assert value(pair, "replica", "show max_connections") == "40"


def test_without_replicas_the_slot_goes(pair: Any) -> None:
    pair.stop(databases.REPLICA)
    pair.stop(databases.PRIMARY)
    pair.change(database=pair.profile.database.model_copy(update={"replicas": 0}))
    start_primary(pair)
    assert value(pair, "primary", "select count(*) from pg_replication_slots") == 0


def test_a_full_pool_makes_clients_wait_and_can_still_be_watched(platform: Any) -> None:
    start_primary(platform)
    start_pooler(platform)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(connect(platform, "pooler", role="application"))
            client.execute("begin")
        answered: list[int] = []
        one_more = threading.Thread(
            target=lambda: answered.append(value(platform, "pooler", "select 7", role="application"))
        )
        one_more.start()
        stack.callback(one_more.join)
        assert value(platform, "pooler", "select true") is True
        with connect(platform, "pooler", database="pgbouncer") as console:
            waiting = 3  # the column cl_waiting
            platform.wait_until(
                lambda: any(r[waiting] == 1 for r in console.execute("show pools").fetchall())
            )
        used = "select count(*) from pg_stat_activity where usename = 'renec_b'"
        assert value(platform, "primary", used) == 10
        assert answered == []
        client.execute("commit")
        platform.wait_until(lambda: answered == [7])


def test_the_pooler_takes_new_sizes_without_losing_a_client(platform: Any) -> None:
    start_primary(platform)
    start_pooler(platform)
    with connect(platform, "pooler", role="application") as client:
        client.execute("select 1")
        pools = platform.host.paths.etc / databases.POOLER / "pools.ini"
        pools.write_text(pools.read_text().replace("max_db_connections = 12", "max_db_connections = 7"))
        platform.running[databases.POOLER].send_signal(signal.SIGHUP)

        def seven() -> bool:
            with connect(platform, "pooler", database="pgbouncer") as console:
                return any(7 in row for row in console.execute("show databases").fetchall())

        platform.wait_until(seven)
        assert client.execute("select 2").fetchone() == (2,)
