"""Secrets that change under load: no request fails, and a rotation that fails leaves things as they were."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import urllib3

pytestmark = pytest.mark.e2e
RATE = 50
# While one API is restarted the other takes it all. What is beyond edge.max_connections_per_api is refused by
# design, whatever is being rotated, so the environment below allows more than a busy machine can pile up.
OUTSTANDING = 32
LIMIT = 128


class Load:
    """GETs through the edge at a steady rate, none repeated by the client; counts what is not a 200."""

    def __init__(self, cli, path="/api/v1/ec-standards"):
        self.url = f"https://localhost:{cli.port_base + 3}{path}"
        self.http = urllib3.PoolManager(
            ca_certs=str(cli.state / "tls" / "ca.crt"), retries=False, maxsize=OUTSTANDING, timeout=5
        )
        self.failures, self.sent = [], 0
        self.stop = threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.http.clear()

    def run(self):
        due = time.monotonic()
        with ThreadPoolExecutor(OUTSTANDING) as pool:
            while not self.stop.is_set():
                pool.submit(self.ask, self.sent)
                self.sent += 1
                due += 1 / RATE
                time.sleep(max(0.0, due - time.monotonic()))

    def ask(self, number):
        try:
            # Another page each time, so that the database is asked and not the cache.
            answer = self.http.request("GET", f"{self.url}?page_size={number % 90 + 1}&q=a{number % 7}")
            if answer.status != 200:
                self.failures.append((time.time(), answer.status))
        except urllib3.exceptions.HTTPError as error:
            self.failures.append((time.time(), repr(error)))


def versions(cli):
    return {
        row["reference"].partition(":")[2]: row["version"]
        for row in json.loads(cli.ok("secrets", cli.environment, "list", "--json"))["references"]
    }


def superuser(cli, statement):
    with psycopg.connect(
        host=str(cli.home / "run"),
        port=cli.port_base + 10,
        user="postgres",
        dbname="postgres",
        autocommit=True,
    ) as connection:
        return connection.execute(statement)


def can_log_in(cli):
    query = "select rolname from pg_roles where rolname in ('renec_a', 'renec_b') and rolcanlogin"
    return [row[0] for row in superuser(cli, query).fetchall()]


@pytest.fixture(scope="module")
def rotating(tmp_path_factory, new_workspace):
    """An environment of its own, because its secrets do not stay what they were."""
    cli = new_workspace(tmp_path_factory.mktemp("rotating"), "rotating")
    profile = cli.workspace / "environments" / "rotating.yaml"
    profile.write_text(
        profile.read_text()
        + "  start_timeout: 25s\nsecrets: {provider: openbao}\n"
        + f"edge: {{max_connections_per_api: {LIMIT}}}\n"
    )
    try:
        cli.ok("up", cli.environment, "--yes")
        yield cli
    finally:
        cli.ok("down", cli.environment, "--yes", "--delete-backups")
        assert cli.marked() == []


def rotate(cli, name):
    return json.loads(cli.ok("secrets", cli.environment, "rotate", name, "--yes", "--json"))


def test_the_databases_password_changes_twice_without_a_failed_request(rotating):
    primary = rotating.service("postgresql-primary")["pid"]
    with Load(rotating) as load:
        time.sleep(1)
        done = [rotate(rotating, "database_password"), rotate(rotating, "database.password")]
        time.sleep(1)
    assert load.failures == []
    assert load.sent > 500
    assert [one["after"] - one["before"] for one in done] == [1, 1]
    assert {"api-1", "api-2", "worker-1", "beat"} <= set(done[0]["restarted"])
    assert can_log_in(rotating) == ["renec_b"]
    assert rotating.service("postgresql-primary")["pid"] == primary
    assert rotating.run("plan", rotating.environment, "--detailed-exitcode").returncode == 0


@pytest.mark.parametrize("name", ["redis_password", "api_key"])
def test_other_secrets_change_without_a_failed_request(rotating, name):
    pid = rotating.service("redis-broker")["pid"]
    with Load(rotating) as load:
        rotate(rotating, name)
    assert load.failures == []
    assert rotating.service("redis-broker")["pid"] == pid
    assert rotating.wrong() == []


@pytest.mark.parametrize("name", ["monitoring_password", "pooler_password", "replication_password"])
def test_the_platforms_own_secrets_change_too(rotating, name):
    before = versions(rotating)[name]
    rotate(rotating, name)
    assert versions(rotating)[name] == before + 1
    assert rotating.wrong() == []


def test_a_rotation_that_fails_is_undone_without_a_failed_request(rotating):
    before = versions(rotating)["database_password"]
    (current,) = can_log_in(rotating)
    other = {"renec_a": "renec_b", "renec_b": "renec_a"}[current]
    superuser(rotating, f"alter role {other} connection limit 0")
    try:
        with Load(rotating) as load:
            done = rotating.run("secrets", rotating.environment, "rotate", "database_password", "--yes")
    finally:
        superuser(rotating, f"alter role {other} connection limit -1")
    assert done.returncode != 0
    assert "old value" in done.stderr
    assert load.failures == []
    assert can_log_in(rotating) == [current]
    assert versions(rotating)["database_password"] == before + 2
    assert rotating.run("plan", rotating.environment, "--detailed-exitcode").returncode == 0
    assert rotating.wrong() == []


def test_a_killed_rotation_is_finished_by_up(rotating):
    (current,) = can_log_in(rotating)
    process = rotating.start("secrets", rotating.environment, "rotate", "database_password", "--yes")
    deadline = time.monotonic() + 60
    while len(can_log_in(rotating)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    rotating.ok("up", rotating.environment, "--yes")
    assert can_log_in(rotating) not in ([current], [])
    assert len(can_log_in(rotating)) == 1
    assert rotating.wrong() == []


def test_nothing_is_rotated_while_the_environment_is_not_current(rotating):
    rotating.ok("restart", rotating.environment, "api-1")
    profile = rotating.workspace / "environments" / "rotating.yaml"
    text = profile.read_text()
    profile.write_text(text + "cache: {cache: {max_memory: 96Mi}}\n")
    try:
        done = rotating.run("secrets", rotating.environment, "rotate", "redis_password", "--yes")
    finally:
        profile.write_text(text)
    assert done.returncode == 4
    assert "environment-not-current" in done.stderr


def test_a_key_of_another_system_is_not_made_here_and_nothing_happens_unasked(rotating):
    before = versions(rotating)
    unknown = rotating.run("secrets", rotating.environment, "rotate", "databse_password", "--yes")
    assert (unknown.returncode, "database_password" in unknown.stderr) == (64, True)
    assert rotating.run("secrets", rotating.environment, "rotate", "database_password").returncode == 1
    assert versions(rotating) == before


def test_a_login_ends_by_itself_and_is_printed_once(rotating):
    name = rotating.environment
    dsn = rotating.ok("secrets", name, "login", "database", "--ttl", "2m").strip()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select count(*) from harvest_runs").fetchone()[0] >= 0
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("delete from harvest_runs")
    issued = json.loads(rotating.ok("secrets", name, "login", "database", "--role", "write", "--json"))
    with psycopg.connect(issued["dsn"], autocommit=True) as connection:
        assert connection.execute("select current_user").fetchone() == ("renec",)
    kept = [path for path in rotating.workspace.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in kept if issued["password"].encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    "arguments",
    [("redis",), ("database", "--role", "admin"), ("database", "--ttl", "40d"), ("database", "--ttl", "x")],
)
def test_a_login_that_cannot_be_had_is_a_usage_error(rotating, arguments):
    assert rotating.run("secrets", rotating.environment, "login", *arguments).returncode == 64
