"""A second repository in a bucket, over TLS and encrypted: moto serves it, which stores and lists like S3."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from renecinfra import tls
from renecinfra.errors import RestoreError, ToolError
from renecinfra.platforms.local import backups
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.recovery import broker, jobs
from renecinfra.recovery.engine.beside import Beside
from renecinfra.recovery.engine.recipe import Recipe
from renecinfra.recovery.primary import read_state
from renecinfra.recovery.protected import RepositoryPlace
from renecinfra.recovery.repository import PgBackRest
from renecinfra.recovery.verification import verify
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.workspace import EnvironmentPaths, ServiceUser

from .lab import Lab

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
BUCKET, KEY, KEY_SECRET = "renec-backups", "AKIATEST", "very-secret-key"

# moto's own TLS does not go with pgBackRest; a worker that is restarted would forget every object.
APPLICATION = """
import itertools
import pathlib
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
moto = DomainDispatcherApplication(create_backend_app)
asked = itertools.count()
slow = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

def app(environ, start_response):
    # While there is a file named throttled, every other request is told to slow down, as S3 does.
    if pathlib.Path("throttled").exists() and next(asked) % 2 == 0:
        with open("throttled", "a") as log:
            log.write("x")
        environ["wsgi.input"].read()
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(slow)))]
        start_response("503 Slow Down", headers)
        return [slow]
    return moto(environ, start_response)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bucket:
    def __init__(self, directory: Path) -> None:
        made = tls.ensure(directory / "tls", "localhost")
        self.authority = directory / "ca.crt"
        self.authority.write_text(made.authority)
        (directory / "server.crt").write_text(made.certificate)
        (directory / "server.key").write_text(made.key.reveal())
        (directory / "application.py").write_text(APPLICATION)
        self.port = free_port()
        self._directory = directory
        self._process = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-w", "1", "-k", "gthread", "--threads", "8", "--timeout", "0",
             "--certfile", "server.crt", "--keyfile", "server.key", "-b", f"127.0.0.1:{self.port}",
             "--chdir", str(self._directory), "application:app"],
            cwd=self._directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                self.client().create_bucket(Bucket=BUCKET)
                return
            except Exception:
                time.sleep(0.2)
        raise AssertionError("moto does not serve")

    def client(self):
        return boto3.client(
            "s3", endpoint_url=f"https://localhost:{self.port}", verify=str(self.authority),
            aws_access_key_id=KEY, aws_secret_access_key=KEY_SECRET, region_name="us-east-1",
            config=Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=5),
        )  # fmt: skip

    def keys(self) -> list[str]:
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    @contextmanager
    def throttled(self) -> Iterator[Path]:
        """While it lasts; the file grows with each request that was told to slow down."""
        flag = self._directory / "throttled"
        flag.touch()
        try:
            yield flag
        finally:
            flag.unlink()

    def pause(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [self._process.pid, *map(int, children)]

    def stop(self) -> None:
        if self._process is not None:
            self.go_on()
            self._process.terminate()
            self._process.wait(20)
            self._process = None


@pytest.fixture(scope="module")
def lab():
    root = Path(tempfile.mkdtemp(prefix="renec-s3-", dir="/var/tmp"))
    root.chmod(0o755)
    made = Lab(root / "x")
    made.bucket = Bucket(root)
    try:
        made.bucket.start()
        made.up()
        made.database = with_bucket(made)
        made.backrest = PgBackRest(made.database)
        yield made
    finally:
        made.down()
        made.bucket.stop()
        shutil.rmtree(root, ignore_errors=True)


def with_bucket(lab: Lab):
    """The lab's database with the second repository as the local platform configures it."""
    profile = Profile.model_validate(
        {
            "environment": "lab",
            "platform": {"kind": "local"},
            "backups": {
                "second": {
                    "kind": "s3", "bucket": BUCKET, "region": "us-east-1", "endpoint": "localhost",
                    "port": lab.bucket.port, "ca_file": str(lab.bucket.authority), "prefix": "/lab",
                    "key": "generated:s3_key", "key_secret": "generated:s3_secret",
                },
            },
        }
    )  # fmt: skip
    host = Host(
        EnvironmentPaths("lab", lab.root, lab.root / "home"), ServiceUser("x", *lab.database.identity, False),
        "/usr/bin/python3", dict.fromkeys(backups.PROGRAMS, "/bin/x"), 2, 1 << 30, lab.root,
    )  # fmt: skip
    sizing = Sizing(1, 1, 1, 1, 1, 1, 1, 1)
    service = backups.services(profile, host, Renderer(ROOT / "templates"), sizing)[0]
    wanted = ("repo2-", "io-timeout")
    rendered = service.files["pgbackrest.conf"].text.splitlines()
    lines = "\n".join(line for line in rendered if line.startswith(wanted))
    config = Path(lab.database.config).read_text().replace("[lab]", f"{lines}\n[lab]")
    lab.write(Path(lab.database.config), config)
    values = {
        "generated:backup_passphrase": "correct-horse",
        "generated:s3_key": KEY,
        "generated:s3_secret": KEY_SECRET,
        "generated:replication_password": "x",
    }
    secrets = {name: SecretVersion(Secret(value), 1) for name, value in values.items()}
    files = backups.secret_files(profile, host, secrets)
    lab.run("rm", Path(lab.database.secrets) / "cipher.conf")
    lab.write(Path(lab.database.secrets) / "keys.conf", files["backups/secrets/keys.conf"])
    places = (*lab.database.repositories, RepositoryPlace(2, "s3", f"s3://{BUCKET}/lab"))
    return replace(lab.database, repositories=places)


def make_stanza(lab: Lab) -> None:
    """A push of WAL in the background holds the lock that this needs, for a moment."""
    deadline = time.monotonic() + 30
    while True:
        try:
            jobs.ensure_stanza(lab.backrest, read_state(lab.database).system_id)
            return
        except RestoreError as error:
            if error.id != "backup-running" or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def test_the_bucket_gets_the_same_backups_and_can_be_verified(lab: Lab) -> None:
    make_stanza(lab)
    taken = jobs.take_backup(lab.backrest, "full", reason="both")
    assert [backup.repository for backup in taken.backups] == [1, 2]
    keys = lab.bucket.keys()
    assert keys
    assert all(key.startswith("lab/") for key in keys)
    content = lab.bucket.client().get_object(Bucket=BUCKET, Key="lab/backup/lab/backup.info")["Body"].read()
    assert b"backrest" not in content  # encrypted
    found = verify(
        lab.backrest, policy=replace(lab.database.policy, receiver=False), state=read_state(lab.database)
    )
    assert [(one.name, one.detail) for one in found.findings if not one.ok] == []
    assert len({one.name for one in found.findings if "repository 2" in one.name}) >= 4


def test_damage_in_the_bucket_is_found_and_is_not_in_the_directory(lab: Lab) -> None:
    client = lab.bucket.client()
    names = lab.bucket.keys()
    key = next(name for name in names if name.endswith("/bundle/1"))
    body = bytearray(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    whole = bytes(body)
    body[len(body) // 2] ^= 1
    client.put_object(Bucket=BUCKET, Key=key, Body=bytes(body))
    try:
        found = verify(
            lab.backrest, policy=replace(lab.database.policy, receiver=False), state=read_state(lab.database)
        )
        wrong = [one.name for one in found.findings if not one.ok]
        assert wrong
        assert all("repository 2" in name for name in wrong)
    finally:
        client.put_object(Bucket=BUCKET, Key=key, Body=whole)


def test_the_brokers_queues_are_in_both_and_come_back(lab: Lab) -> None:
    home = lab.root / "broker"
    lab.write(
        home / "appendonlydir" / "appendonly.aof.manifest", "file appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    lab.write(home / "appendonlydir" / "appendonly.aof.1.incr.aof", "a task that must not be lost\n")
    tool = PgBackRest(replace(lab.database, broker=str(home)))
    name = jobs.copy_broker(tool)
    copies = broker.copies(tool)
    assert [(one.name, one.repository) for one in copies] == [(name, 1), (name, 2)]
    stored = lab.bucket.client().get_object(Bucket=BUCKET, Key=f"lab/broker/lab/{name}.tar")["Body"].read()
    assert b"must not be lost" not in stored
    for number, one in enumerate(copies):
        target = lab.root / f"fetched-{number}.tar"
        broker.fetch(tool, one, target)
        listed = lab.run("tar", "-xOf", target, "appendonlydir/appendonly.aof.1.incr.aof").stdout
        assert listed == "a task that must not be lost\n"


def test_a_bucket_that_throttles_is_slow_and_nothing_else(lab: Lab) -> None:
    """A backup into it, and a restore from it with all WAL: pgBackRest asks again, as S3 asks it to."""
    make_stanza(lab)
    lab.sql("CREATE TABLE throttled AS SELECT 1 AS n")
    with lab.bucket.throttled() as refused:
        taken = jobs.take_backup(lab.backrest, "incr", reason="throttled", repositories=(2,))
        lab.sql("INSERT INTO throttled VALUES (2)")
        last = lab.archived()
        beside = Beside(lab.database, lab.data.parent / "restores" / "slow", purpose="r", marker="lab/r")
        try:
            made = Recipe(taken.backups[0].label, 2, 1, {}, last, ())
            beside.fetch(made)
            beside.start(made)
            beside.watch(lambda _seen: None)
            with beside.connected() as connection:
                assert connection.execute("SELECT n FROM throttled ORDER BY n").fetchall() == [(1,), (2,)]
        finally:
            beside.remove()
        assert len(refused.read_text()) > 10


@pytest.mark.nightly  # pgBackRest asks again several times
@pytest.mark.timeout(600)
def test_a_bucket_that_hangs_is_given_up_and_the_directory_serves(lab: Lab) -> None:
    lab.bucket.pause()
    try:
        started = time.monotonic()
        with pytest.raises((RestoreError, ToolError)):
            jobs.take_backup(lab.backrest, "incr", reason="one repository hangs", repositories=(2,))
        assert time.monotonic() - started < 150
        taken = jobs.take_backup(lab.backrest, "incr", reason="the other serves", repositories=(1,))
        assert taken.backups[0].repository == 1
    finally:
        lab.bucket.go_on()
