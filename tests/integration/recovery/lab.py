"""A primary that archives, with a WAL receiver beside it: real PostgreSQL and pgBackRest, and nothing
else.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psycopg

from renecinfra.recovery.protected import Policy, ProtectedDatabase, RepositoryPlace
from renecinfra.recovery.repository import PgBackRest, archive_push_command

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def service_identity() -> tuple[int, int]:
    entry = pwd.getpwnam("renecinfra") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return entry.pw_uid, entry.pw_gid


def programs() -> dict[str, str]:
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    names = (
        "postgres",
        "initdb",
        "pg_ctl",
        "pg_controldata",
        "pg_waldump",
        "pg_receivewal",
        "pg_checksums",
        "psql",
        "pg_amcheck",
        "pg_isready",
        "pg_basebackup",
    )
    return {name: str(binaries / name) for name in names} | {"pgbackrest": shutil.which("pgbackrest")}


class Lab:
    """One primary in ``root``, which the service user owns; its archive, its receiver, its recovery's
    value.
    """

    def __init__(self, root: Path, *, archive_timeout: int = 60) -> None:
        self.root = root
        uid, gid = service_identity()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(root, uid, gid)
        self.programs = programs()
        self.data = root / "primary" / "cluster"
        self.socket = root / "run"
        self.receiver = root / "receiver"
        self.archive_timeout = archive_timeout
        self._receiving = None
        places = {name: root / name for name in ("repo", "etc", "spool", "lock", "log", "state", "scratch")}
        self.run("mkdir", "-p", "-m", "0700", self.data.parent, self.socket, self.receiver, *places.values())
        self.database = ProtectedDatabase(
            environment="lab",
            stanza="lab",
            programs=self.programs,
            config=str(root / "etc" / "pgbackrest.conf"),
            secrets=str(root / "etc" / "secrets"),
            data=str(self.data),
            socket=str(self.socket),
            port=5499,
            database="postgres",
            owner="postgres",
            state=str(places["state"]),
            receiver=str(self.receiver),
            work=str(root),
            uid=uid,
            gid=gid,
            repositories=(RepositoryPlace(1, "posix", str(places["repo"])),),
            policy=Policy(
                rpo=300, rto=3600, retention=86400, archive_timeout=archive_timeout, full="0 1 * * *",
                incremental="0 * * * *", incremental_wal=1 << 30, verify="0 3 * * *", drill=None,
                drill_max_age=86400, receiver=True,
            ),
        )  # fmt: skip
        self.backrest = PgBackRest(self.database)

    def run(self, *argv, check=True, **options):
        uid, gid = service_identity()
        user = {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run(
            [str(word) for word in argv], check=check, env=ENVIRONMENT, cwd="/", text=True,
            umask=0o077, **{"capture_output": True, "timeout": 120, **user, **options},
        )  # fmt: skip

    def write(self, path: Path, text: str) -> None:
        self.run("sh", "-c", 'mkdir -p "${1%/*}"; cat >"$1"', "sh", path, input=text)

    def up(self) -> None:
        """Make the primary, archive to a new repository, receive, take a full backup."""
        self.write(
            Path(self.database.config),
            f"[global]\nrepo1-path={self.root}/repo\nrepo1-cipher-type=aes-256-cbc\ncompress-type=zst\n"
            f"repo1-retention-full=9\nrepo1-bundle=y\nstart-fast=y\narchive-async=y\nprocess-max=2\n"
            f"spool-path={self.root}/spool\nlock-path={self.root}/lock\nlog-path={self.root}/log\n"
            f"[lab]\npg1-path={self.data}\npg1-socket-path={self.socket}\npg1-port=5499\npg1-user=postgres\n",
        )
        self.write(Path(self.database.secrets) / "cipher.conf", "[global]\nrepo1-cipher-pass=correct-horse\n")
        self.run(
            self.programs["initdb"],
            "-D",
            self.data,
            "-U",
            "postgres",
            "--data-checksums",
            "-E",
            "UTF8",
            "-A",
            "trust",
            "-N",
        )
        command = archive_push_command(self.database, str(self.data)).replace("'", "''")
        self.write(
            self.data / "postgresql.auto.conf",
            f"archive_mode = on\narchive_timeout = {self.archive_timeout}\nwal_level = replica\n"
            f"archive_command = '{command}'\n"
            f"listen_addresses = ''\nport = 5499\nunix_socket_directories = "
            f"'{self.socket}'\nshared_buffers = 32MB\n"
            "max_wal_senders = 10\nlog_timezone = 'UTC'\n",
        )
        self.start()
        system = self.sql("SELECT system_identifier::text FROM pg_control_system()")[0][0]
        self.receiver = self.receiver / f"{system}-1"
        self.run("mkdir", "-m", "0700", self.receiver)
        self.backrest.create_stanza()
        self.receive()
        self.backrest.backup("full", timeout=120)

    def start(self) -> None:
        self.run(
            self.programs["pg_ctl"], "start", "-w", "-s", "-D", self.data, "-l", self.root / "primary.log",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, capture_output=False,
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        self.run(self.programs["pg_ctl"], "stop", "-s", "-w", "-m", mode, "-D", self.data, check=False)

    def receive(self) -> None:
        uid, gid = service_identity()
        user = {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}
        self._receiving = subprocess.Popen(
            [self.programs["pg_receivewal"], "-D", str(self.receiver), "-h", str(self.socket), "-p", "5499",
             "-U", "postgres", "--synchronous", "-w", "--no-loop"],
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")[0][0]:
                return
            time.sleep(0.05)
        raise AssertionError("the receiver does not stream")

    def stop_receiver(self) -> None:
        if self._receiving is not None:
            self._receiving.kill()
            self._receiving.wait(10)
            self._receiving = None

    def down(self) -> None:
        self.stop_receiver()
        self.stop("immediate")

    @contextlib.contextmanager
    def connected(self, name: str = "postgres"):
        with psycopg.connect(
            host=str(self.socket), port=5499, user="postgres", dbname=name, autocommit=True, connect_timeout=5
        ) as connection:
            yield connection

    def sql(self, statement: str, *parameters):
        with self.connected() as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def archived(self, seconds: float = 30) -> None:
        """Wait until all that is committed now is in the archive."""
        name = self.sql("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            last = self.sql("SELECT last_archived_wal FROM pg_stat_archiver")[0][0]
            if last and last[8:24] >= name[8:24] and not last.endswith("history"):
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} is not archived")

    def now(self) -> datetime:
        return self.sql("SELECT clock_timestamp()")[0][0]


def as_client(lab: Lab, more: dict[str, str]) -> dict[str, str]:
    """The environment of a script that asks the lab's server by psql."""
    own = {
        "PATH": f"{Path(lab.programs['psql']).parent}:{ENVIRONMENT['PATH']}",
        "PGHOST": str(lab.socket),
        "PGPORT": "5499",
    }
    return {**ENVIRONMENT, **own, **more}


@contextlib.contextmanager
def running(*statements: str) -> Iterator[Lab]:
    """A lab that is up, after these statements; gone when the block ends."""
    root = Path(tempfile.mkdtemp(prefix="renec-lab-", dir="/var/tmp"))
    root.chmod(0o755)
    made = Lab(root / "x")
    try:
        made.up()
        for statement in statements:
            made.sql(statement)
        yield made
    finally:
        made.down()
        shutil.rmtree(root)
