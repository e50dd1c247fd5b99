"""Services of the local platform, each started as the launcher would, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from renecinfra import tls
from renecinfra.platforms.local import access, certificates, databases, edge, stores
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.services import binaries
from renecinfra.services.definition import Service
from renecinfra.workspace import EnvironmentPaths, ServiceUser
from tests.ports import free_port_base

ROOT = Path(__file__).parents[3]
PARTS = (certificates, databases, stores, edge)
SIZING = Sizing(
    api_replicas=2,
    api_processes=1,
    api_pool_size=5,
    worker_replicas=1,
    worker_concurrency=2,
    pooler_pool_size=10,
    connections_needed=25,
    connections_available=40,
)


def secrets_of(profile: Profile, version: int = 1) -> ResolvedSecrets:
    """A password per reference, with every character that some file format might trip over."""
    references = [
        profile.database.password,
        profile.cache.password,
        access.REPLICATION_PASSWORD,
        access.POOLER_PASSWORD,
        access.MONITORING_PASSWORD,
        access.OPERATOR_PASSWORD,
    ]
    return {
        name: SecretVersion(Secret(f"p{version}-{index}:\\ '\"#%;$@/é"[:-1]), version)
        for index, name in enumerate(references)
    }


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def copy_owned(source: Path, target: Path) -> None:
    """A copy with owners and modes; fast where the file system can share blocks."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)


@dataclass
class Platform:
    """An environment's home and what runs in it."""

    profile: Profile
    host: Host
    secrets: ResolvedSecrets
    renderer: Renderer = field(default_factory=lambda: Renderer(ROOT / "templates"))
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    wait_until = staticmethod(wait_until)
    copy_owned = staticmethod(copy_owned)

    def rotate(self) -> None:
        """Another version of every secret from now on."""
        self.secrets = secrets_of(self.profile, version=2)

    def service(self, name: str) -> Service:
        for part in PARTS:
            for service in part.services(self.profile, self.host, self.renderer, SIZING):
                if service.name == name:
                    return service
        raise AssertionError(f"there is no {name}")

    def change(self, **sections: object) -> None:
        """Another profile from now on."""
        self.profile = self.profile.model_copy(update=sections)

    def change_profile(self, profile: Profile) -> None:
        """A whole other profile from now on."""
        self.profile = profile

    def install(self, name: str) -> Service:
        """The service's files and secrets, with the owners and modes of the real home."""
        service = self.service(name)
        etc = self.host.paths.etc / name
        etc.mkdir(exist_ok=True)
        for path, file in {**service.files, **service.reload_files}.items():
            (etc / path).parent.mkdir(parents=True, exist_ok=True)
            (etc / path).write_text(file.text, encoding="utf-8")
        for part in PARTS:
            for path, text in part.secret_files(self.profile, self.host, self.secrets).items():
                if path.partition("/")[0] == name:
                    target = self.host.paths.etc / path
                    target.write_text(text, encoding="utf-8")
                    target.chmod(0o600)
                    os.chown(target, self.host.user.uid, self.host.user.gid)
        data = self.host.paths.data / name
        data.mkdir(exist_ok=True, mode=0o700)
        os.chown(data, self.host.user.uid, self.host.user.gid)
        return service

    def start(self, name: str) -> subprocess.Popen[bytes]:
        service = self.install(name)
        paths = self.host.paths
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(paths.data / name),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONPATH": str(paths.lib),
            **service.environment,
        }
        switch = self.host.user if self.host.user.switched else None
        # The supervisor's pipes belong to the service user, too, so that nginx can open /dev/stdout.
        with (paths.log / f"{name}.log").open("ab") as log:
            os.chown(log.fileno(), self.host.user.uid, self.host.user.gid)
            process = subprocess.Popen(
                service.command,
                cwd=service.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
                user=switch.uid if switch else None,
                group=switch.gid if switch else None,
                extra_groups=[] if switch else None,
            )
        self.running[name] = process
        return process

    def stop(self, name: str) -> int:
        process = self.running.pop(name)
        service = self.service(name)
        process.send_signal(signal.Signals[f"SIG{service.stop_signal}"])
        return process.wait(timeout=20)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def log(self, name: str) -> str:
        return (self.host.paths.log / f"{name}.log").read_text(encoding="utf-8")

    def wait_for(self, name: str, ready: Callable[[], bool], seconds: float = 15) -> None:
        process = self.running[name]
        deadline = time.monotonic() + seconds
        while not ready():
            assert process.poll() is None, f"{name} ended:\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not ready:\n{self.log(name)}"
            time.sleep(0.01)

    def end(self) -> None:
        for name, process in reversed(list(self.running.items())):
            if process.poll() is None:
                process.send_signal(signal.Signals[f"SIG{self.service(name).stop_signal}"])
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


@pytest.fixture(scope="session")
def service_user() -> ServiceUser:
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid())
        return ServiceUser(me.pw_name, me.pw_uid, me.pw_gid, switched=False)
    entry = pwd.getpwnam("nobody")
    return ServiceUser(entry.pw_name, entry.pw_uid, entry.pw_gid, switched=True)


@pytest.fixture(scope="session")
def host(service_user: ServiceUser) -> Iterator[Host]:
    """A home that the service user can enter; short, because sockets are in it; a name with a blank."""
    top = Path(tempfile.mkdtemp(prefix="ren ec-", dir="/tmp"))
    top.chmod(0o711)
    paths = EnvironmentPaths("test", top / "state", top / "home")
    paths.tls.mkdir(parents=True, mode=0o700)
    paths.home.mkdir(mode=0o711)
    paths.etc.mkdir(mode=0o755)
    found = {**binaries.find()}
    yield Host(paths, service_user, sys.executable, found, cores=2, memory=1 << 32, workspace=top)
    shutil.rmtree(top)


@pytest.fixture(scope="session")
def profile() -> Profile:
    return Profile.model_validate(
        {
            "environment": "test",
            "backups": {"enabled": False},  # no archive: that is the recovery tests' part
            "platform": {"kind": "local", "port_base": free_port_base()},
            "database": {"max_connections": 40, "shared_buffers": "16Mi"},
        }
    )


def clear(host: Host) -> None:
    """An empty home, with the owners and modes of the real one."""
    paths = host.paths
    for directory in (paths.data, paths.log, paths.run):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
        os.chown(directory, host.user.uid, host.user.gid)
    shutil.rmtree(paths.etc, ignore_errors=True)
    paths.etc.mkdir(mode=0o755)


@pytest.fixture
def platform(profile: Profile, host: Host) -> Iterator[Platform]:
    clear(host)
    tls.ensure(host.paths.tls, profile.edge.host)
    made = Platform(profile, host, secrets_of(profile))
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def pristine(profile: Profile, host: Host) -> Path:
    """The data of a primary and its replica as their first start leaves them; made once, copied per test."""
    clear(host)
    tls.ensure(host.paths.tls, profile.edge.host)
    made = Platform(profile, host, secrets_of(profile))
    roles = {databases.PRIMARY: False, databases.REPLICA: True}
    try:
        for name, standby in roles.items():
            made.start(name)
            made.wait_for(name, lambda standby=standby: standby_answers(made, standby=standby), 60)
        for name in reversed(roles):
            made.stop(name)
    finally:
        made.end()
    kept = host.workspace / "pristine"
    host.paths.data.rename(kept)
    return kept


def standby_answers(platform: Platform, *, standby: bool) -> bool:
    target = "replica" if standby else "primary"
    dsn = access.database_dsn(platform.profile, platform.host, platform.secrets, target)
    try:
        with psycopg.connect(**dsn, connect_timeout=5, autocommit=True) as connection:
            return connection.execute("select pg_is_in_recovery()").fetchone() == (standby,)
    except psycopg.OperationalError:
        return False
