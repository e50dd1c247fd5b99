"""Certificates from a real OpenBao, and their renewal under load, at real servers."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, dumps, loads

import psycopg
import pytest
import redis
import urllib3
from cryptography import x509

from renecinfra import tls
from renecinfra.agents import serving
from renecinfra.errors import SecretsError
from renecinfra.platforms.local import access, certificates, databases, edge, encryption, stores, variables
from renecinfra.profiles.model import Profile
from renecinfra.secrets import openbao, pki, setup
from renecinfra.secrets.store import SecretVersion
from renecinfra.secrets.vault import VaultClient
from renecinfra.secrets.vault_types import Connection, TokenLogin
from renecinfra.sensitive import Secret
from renecinfra.services import manifest

pytestmark = pytest.mark.integration

ROOT_TOKEN = "root-of-the-test"
SECRET_ID = "secret-id-of-the-test"
LIFE = timedelta(seconds=10)
STORES = {stores.BROKER: "broker", stores.CACHE: "cache"}


class OpenBao:
    """A development server with TLS, on the port where the environment's own would be."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.directory = Path(tempfile.mkdtemp(prefix="bao-", dir="/tmp"))
        self.log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(
            [
                shutil.which("bao", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "bao",
                "server",
                "-dev-tls",
                f"-dev-tls-cert-dir={self.directory}",
                f"-dev-root-token-id={ROOT_TOKEN}",
                f"-dev-listen-address=127.0.0.1:{self.port}",
                "-dev-no-store-token",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory)},
        )

    def wait(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                with self.client() as client:
                    client.lookup_self()
                    return
            except SecretsError as error:
                assert time.monotonic() < deadline, (error, (self.directory / "log").read_text())
            time.sleep(0.05)

    def client(self) -> VaultClient:
        address = f"https://127.0.0.1:{self.port}"
        login = TokenLogin(Secret(ROOT_TOKEN), "the test")
        return VaultClient(Connection(address, ca_file=self.directory / "vault-ca.pem"), lambda: login)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.directory)


class Supervisor(socketserver.ThreadingUnixStreamServer):
    """supervisord's answers about the processes of the test's platform."""

    daemon_threads = True

    def __init__(self, platform: Any) -> None:
        self.running = platform.running
        path = platform.host.paths.run / "supervisor.sock"
        super().__init__(str(path), Calls)
        os.chown(path, platform.host.user.uid, platform.host.user.gid)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}).start()


class Calls(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        parameters, method = loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = str(parameters[0])
        process = self.server.running.get(name)
        body: Any = ({"statename": "RUNNING" if process and process.poll() is None else "STOPPED"},)
        if method == "supervisor.signalProcess":
            os.kill(process.pid, signal.Signals[f"SIG{parameters[1]}"])
            body = (True,)
        elif method != "supervisor.getProcessInfo":
            body = Fault(1, "UNKNOWN_METHOD")
        answer = dumps(body, methodresponse=True).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def profile(profile: Profile) -> Profile:
    document = profile.model_dump(mode="json", exclude_unset=True)
    document["secrets"] = {"provider": "openbao"}
    document["edge"] = {"host": "renec.test", "certificate_ttl": f"{LIFE.total_seconds():.0f}s"}
    document["database"]["replicas"] = 1
    return Profile.model_validate(document)


@pytest.fixture(scope="module")
def bao(profile: Profile) -> Iterator[OpenBao]:
    server = OpenBao(profile.local.port("openbao"))
    try:
        server.wait()
        with server.client() as client:
            wanted = setup.setup_of(profile)
            for mount in (pki.ROOT, pki.ISSUING):
                client.request("POST", f"sys/mounts/{mount}", wanted.mounts[mount])
            client.request("POST", "sys/auth/approle", {"type": "approle"})
            role = f"auth/approle/role/{setup.CERTIFICATES_ROLE}"
            policy = wanted.policies[setup.CERTIFICATES_ROLE]
            client.write_policy(setup.CERTIFICATES_ROLE, policy)
            client.request("POST", role, wanted.roles[setup.CERTIFICATES_ROLE])
            client.request("POST", f"{role}/role-id", {"role_id": setup.CERTIFICATES_ROLE_ID})
            client.request("POST", f"{role}/custom-secret-id", {"secret_id": SECRET_ID})
        yield server
    finally:
        server.end()


@pytest.fixture
def platform(platform: Any, profile: Profile, bao: OpenBao) -> Iterator[Any]:
    """An environment whose OpenBao is set up, and nothing else runs."""
    host = platform.host
    # The agent needs the standard library alone, of an interpreter that the service user can execute.
    platform.host = host = dataclasses.replace(host, python=os.path.realpath(sys.executable))
    platform.change_profile(profile)
    platform.secrets = {
        **platform.secrets,
        setup.CERTIFICATES_SECRET_ID: SecretVersion(Secret(SECRET_ID), 1),
    }
    shutil.rmtree(host.paths.lib, ignore_errors=True)
    for name, file in manifest.library().items():
        (host.paths.lib / name).parent.mkdir(parents=True, exist_ok=True)
        (host.paths.lib / name).write_text(file.text, encoding="utf-8")
    bundle = manifest.service_bundle([], host)
    (host.paths.etc / "environment.json").write_text(bundle["services/environment.json"].text)
    listener = openbao.ca_file(host.paths)
    listener.parent.mkdir(parents=True, exist_ok=True)
    listener.write_bytes((bao.directory / "vault-ca.pem").read_bytes())
    with bao.client() as client:
        authority = pki.ensure(client, profile.edge.host, profile.edge.certificate_ttl)
    host.paths.ca.write_text(authority)
    supervisor = Supervisor(platform)
    try:
        yield platform
    finally:
        platform.end()
        supervisor.shutdown()
        supervisor.server_close()


def status(platform: Any) -> int:
    url = f"http://127.0.0.1:{platform.profile.local.port('certificates')}/health"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def start_agent(platform: Any) -> None:
    platform.start(certificates.NAME)
    platform.wait_for(certificates.NAME, lambda: status(platform) == 200)


def stored(platform: Any, consumer: str) -> list[x509.Certificate]:
    pem = Path(encryption.material(platform.host, consumer)).read_bytes()
    return x509.load_pem_x509_certificates(pem[pem.index(b"-----BEGIN CERT") :])


def listens(port: int) -> Callable[[], bool]:
    def ask() -> bool:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    return ask


def start(platform: Any, name: str) -> None:
    platform.start(name)
    platform.wait_for(name, listens(platform.profile.local.port(name.replace("-", "_"))), 30)


def start_databases(platform: Any, *names: str) -> None:
    for name in names:
        target = {databases.PRIMARY: "primary", databases.REPLICA: "replica", databases.POOLER: "pooler"}[
            name
        ]
        platform.start(name)
        platform.wait_for(name, lambda target=target: answers(platform, target), 60)


def answers(platform: Any, target: str) -> bool:
    try:
        with database(platform, target) as connection:
            return connection.execute("select true").fetchone() == (True,)
    except psycopg.OperationalError:
        return False


def database(platform: Any, target: str, **options: Any) -> psycopg.Connection:
    dsn = access.database_dsn(platform.profile, platform.host, platform.secrets, target)
    return psycopg.connect(
        **dsn | options, connect_timeout=5, autocommit=True, prepare_threshold=None, gssencmode="disable"
    )


def client(platform: Any, name: str) -> redis.Redis:
    url = access.redis_url(platform.profile, platform.host, platform.secrets, STORES[name], role="monitor")
    return redis.Redis.from_url(url, socket_timeout=5)


def test_each_consumer_gets_a_certificate_of_its_own_and_no_other(platform: Any) -> None:
    start_agent(platform)
    serials = set()
    for consumer in pki.ROLES:
        leaf, intermediate = stored(platform, consumer)
        root = x509.load_pem_x509_certificate(platform.host.paths.ca.read_bytes())
        leaf.verify_directly_issued_by(intermediate)
        intermediate.verify_directly_issued_by(root)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["renec.test", "localhost"]
        assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
        assert leaf.not_valid_after_utc - datetime.now(UTC) <= LIFE
        serials.add(leaf.serial_number)
        path = Path(encryption.material(platform.host, consumer))
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.stat().st_uid == platform.host.user.uid
        assert sorted(found.name for found in path.parent.iterdir()) == [
            "certificate.json",
            "public",
            "tls.pem",
        ]
    assert len(serials) == len(pki.ROLES)
    secrets = (SECRET_ID, platform.secrets[access.OPERATOR_PASSWORD].value.reveal(), "PRIVATE KEY")
    assert not [secret for secret in secrets if secret in platform.log(certificates.NAME)]


def test_its_login_takes_leaves_and_nothing_else(platform: Any, bao: OpenBao) -> None:
    with bao.client() as client:
        body = {"role_id": setup.CERTIFICATES_ROLE_ID, "secret_id": SECRET_ID}
        token = client.request("POST", "auth/approle/login", body)["auth"]["client_token"]
        client.use_token(Secret(token))
        for method, path, body in (
            ("POST", f"{pki.ISSUING}/sign-verbatim", {"csr": "x"}),
            ("POST", f"{pki.ROOT}/root/sign-intermediate", {"csr": "x"}),
            ("GET", "sys/mounts", None),
        ):
            with pytest.raises(SecretsError) as caught:
                client.request(method, path, body)
            assert caught.value.id == "vault-denied"
        with pytest.raises(SecretsError):
            client.issue(pki.ISSUING, "edge", {"common_name": "bank.example"})
        strange = client.issue(pki.ISSUING, "edge", {"common_name": "localhost", "ip_sans": "192.0.2.1"})
    beside = platform.host.paths.state / "strange.pem"
    beside.write_text("\n".join([strange.private_key.reveal(), strange.certificate, *strange.chain]))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        serving.accepted(beside, str(platform.host.paths.ca))


def test_the_authority_stays_until_it_does_not_fit(platform: Any, bao: OpenBao) -> None:
    with bao.client() as client:
        first = pki.ensure(client, "renec.test", LIFE)
        assert pki.fits(first, "renec.test")
        assert pki.ensure(client, "renec.test", LIFE) == first
        later = datetime.now(UTC) + timedelta(days=4 * 365 + 1)
        assert not pki.fits(first, "renec.test", later)
        assert pki.ensure(client, "renec.test", LIFE, later) != first
        assert not pki.fits(first, "other.test")
        other = pki.ensure(client, "other.test", LIFE)
        assert other != first
        # The next test's environment is of renec.test again.
        assert pki.ensure(client, "renec.test", LIFE) not in (first, other)


def test_nobody_gets_at_data_without_tls_or_with_another_authority(platform: Any, tmp_path: Path) -> None:
    start_agent(platform)
    start_databases(platform, databases.PRIMARY, databases.REPLICA, databases.POOLER)
    start(platform, stores.BROKER)
    strangers = tls.ensure(tmp_path, "localhost").authority
    (tmp_path / "stranger.crt").write_text(strangers)
    for target in ("primary", "replica", "pooler"):
        with database(platform, target) as connection:
            assert connection.pgconn.ssl_in_use
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba.conf entry|SSL required"):
            database(platform, target, sslmode="disable")
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            database(platform, target, sslrootcert=str(tmp_path / "stranger.crt"))
    with database(platform, "primary") as connection:
        query = "select bool_and(ssl), count(*) from pg_stat_ssl join pg_stat_replication using (pid)"
        assert connection.execute(query).fetchone() == (True, 1)
    with client(platform, stores.BROKER) as connection:
        assert connection.ping()
    port = platform.profile.local.port("redis_broker")
    with redis.Redis(port=port, socket_timeout=5) as plain, pytest.raises(redis.ConnectionError):
        plain.ping()


def test_celery_and_the_application_connect_with_what_they_are_given(platform: Any) -> None:
    from renecinfra.reference.queues import enqueue, make_app

    start_agent(platform)
    start_databases(platform, databases.PRIMARY, databases.POOLER)
    start(platform, stores.BROKER)
    addresses = variables.backends(platform.profile, platform.host, platform.secrets)
    with psycopg.connect(addresses["DATABASE_URL"], prepare_threshold=None) as connection:
        assert connection.pgconn.ssl_in_use
    with make_app(addresses["REDIS_URL"]) as app:
        enqueue(app, "daily")
    with client(platform, stores.BROKER) as monitor:
        assert monitor.llen("harvest") == 1


def test_an_openbao_that_is_away_is_waited_for(platform: Any, bao: OpenBao) -> None:
    os.kill(bao.process.pid, signal.SIGSTOP)
    try:
        platform.start(certificates.NAME)
        platform.wait_for(certificates.NAME, lambda: "did not answer" in platform.log(certificates.NAME), 20)
        assert status(platform) == 503
    finally:
        os.kill(bao.process.pid, signal.SIGCONT)
    platform.wait_for(certificates.NAME, lambda: status(platform) == 200, 20)


def test_what_is_there_is_kept_over_a_restart_and_damage_is_mended(platform: Any) -> None:
    start_agent(platform)
    before = {consumer: stored(platform, consumer)[0] for consumer in pki.ROLES}
    platform.stop(certificates.NAME)
    Path(encryption.material(platform.host, "redis")).write_text("torn")
    start_agent(platform)
    after = {consumer: stored(platform, consumer)[0] for consumer in pki.ROLES}
    assert {name for name in pki.ROLES if before[name] != after[name]} == {"redis"}


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        return


@contextlib.contextmanager
def api(platform: Any) -> Iterator[None]:
    servers = [
        ThreadingHTTPServer(("127.0.0.1", platform.profile.local.port("api", n)), Api) for n in range(2)
    ]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class Load:
    """Requests at a steady rate, over a connection that is kept and, one in ten, over new ones."""

    def __init__(self, kept: Callable[[], object], fresh: Callable[[], object], rate: float) -> None:
        self.kept, self.fresh, self.pause = kept, fresh, 1 / rate
        self.done = 0
        self.failed: list[str] = []
        self.slowest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                (self.kept if self.done % 10 else self.fresh)()
            except Exception as error:
                self.failed.append(f"{self.done}: {error!r}")
            self.done += 1
            self.slowest = max(self.slowest, time.monotonic() - started)
            due += self.pause
            time.sleep(max(0.0, due - time.monotonic()))

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@contextlib.contextmanager
def edge_load(platform: Any) -> Iterator[Load]:
    def pool() -> Any:
        ca = str(platform.host.paths.ca)
        port = platform.profile.local.port("edge")
        return urllib3.HTTPSConnectionPool("localhost", port, ca_certs=ca, retries=False, timeout=5)

    def get(pool: Any) -> None:
        answer = pool.request("GET", "/api/v1/ec-standards")
        assert answer.status == 200, answer.status

    def fresh() -> None:
        with pool() as one:
            get(one)

    with pool() as kept, Load(lambda: get(kept), fresh, 50) as load:
        yield load


@contextlib.contextmanager
def database_load(platform: Any) -> Iterator[Load]:
    def fresh() -> None:
        with database(platform, "pooler") as one:
            one.execute("select 1")

    with database(platform, "pooler") as kept, Load(lambda: kept.execute("select 1"), fresh, 50) as load:
        yield load


@contextlib.contextmanager
def redis_load(platform: Any) -> Iterator[Load]:
    def fresh() -> None:
        with client(platform, stores.BROKER) as one:
            one.ping()

    with client(platform, stores.BROKER) as kept, Load(kept.ping, fresh, 50) as load:
        yield load


def served(platform: Any) -> dict[str, bytes]:
    found = {}
    for servers in certificates._servers(platform.profile, platform.host).values():
        for server in servers:
            found[server["name"]] = serving.served(serving.Server(**server), str(platform.host.paths.ca))
    return found


def test_a_handshake_never_mixes_two_certificates(platform: Any, bao: OpenBao) -> None:
    """Key and chain are read one after the other: here the link changes as often as it can in between."""
    life = timedelta(hours=1)
    platform.change(edge=platform.profile.edge.model_copy(update={"certificate_ttl": life}))
    with bao.client() as client:
        pki.ensure(client, platform.profile.edge.host, life)
    start_agent(platform)
    current = Path(encryption.current(platform.host, "edge"))
    one = current.resolve()
    platform.stop(certificates.NAME)
    two = one.with_name("two")
    shutil.copytree(one, two)
    material = Path(encryption.material(platform.host, "redis")).read_text()
    (two / "tls.pem").write_text(material)
    for path in (two, *two.iterdir()):
        os.chown(path, platform.host.user.uid, platform.host.user.gid)
    start(platform, edge.NAME)
    stop = threading.Event()

    def swap() -> None:
        beside = current.with_name("swap")
        while not stop.is_set():
            for target in (two, one):
                beside.symlink_to(target.name)
                beside.replace(current)

    swapping = threading.Thread(target=swap)
    swapping.start()
    server = serving.Server(edge.NAME, "tls", platform.profile.local.port("edge"), "none")
    try:
        shown = {serving.served(server, str(platform.host.paths.ca)) for _ in range(300)}
    finally:
        stop.set()
        swapping.join()
    assert len(shown) == 2


def test_renewals_under_load_cost_no_request(platform: Any) -> None:
    start_agent(platform)
    start_databases(platform, databases.PRIMARY, databases.REPLICA, databases.POOLER)
    for name in (stores.BROKER, stores.CACHE, edge.NAME):
        start(platform, name)
    first = served(platform)
    rounds = 0
    with (
        api(platform),
        edge_load(platform) as web,
        database_load(platform) as sql,
        redis_load(platform) as kv,
    ):
        started = time.monotonic()
        deadline = started + 60
        seen = first
        while rounds < 2:
            assert time.monotonic() < deadline, platform.log(certificates.NAME)
            now = served(platform)
            if all(now[name] != seen[name] for name in seen):
                rounds, seen = rounds + 1, now
            time.sleep(0.2)
        time.sleep(0.5)
        seconds = time.monotonic() - started
    for load in (web, sql, kv):
        assert load.failed == []
        # 50 a second are asked for; a busy machine may not manage them.
        assert load.done > 5 * seconds
        assert load.slowest < 2
