"""When certificates are renewed, what is put in place, and who is told: with an issuer of the test's own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from renecinfra import tls
from renecinfra.agents import certificates
from renecinfra.agents.certificates import Certificate, Keeper, Wanted
from renecinfra.agents.issuing import Issued, Issuer, IssuerError
from renecinfra.agents.rpc import SupervisorFault
from renecinfra.agents.serving import ReloadError, Server


@dataclasses.dataclass
class Clock:
    now: float = 1_800_000_000.0

    def time(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)

    def __getattr__(self, name: str) -> Any:
        import time

        return getattr(time, name)


class OwnIssuer:
    """Signs with an authority on disk, or fails as it is told to."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory, self.clock = directory, clock
        self.failure = ""
        self.issued = 0

    @contextlib.contextmanager
    def session(self) -> Iterator[str]:
        if self.failure:
            raise IssuerError(self.failure)
        yield "token"

    def issue(self, token: str, role: str, names: list[str], addresses: list[str], ttl: float) -> Issued:
        assert (token, role, addresses) == ("token", "edge", ["127.0.0.1"])
        self.issued += 1
        authority = tls._pair(self.directory, "ca.crt", "ca.key", lambda _: True)
        assert authority is not None
        leaf, key = tls._make_leaf(authority, names[0], datetime.now(UTC))
        return Issued(tls._key_pem(key) + tls._certificate_pem(leaf), self.clock.now + ttl)


class Supervised:
    """A supervisor that has everything running, and notes whom it was told to signal."""

    def __init__(self, state: str = "RUNNING") -> None:
        self.state = state
        self.signalled: list[tuple[str, ...]] = []

    def call(self, method: str, *arguments: str) -> Any:
        if method == "signalProcess":
            self.signalled.append(arguments)
            return True
        if not self.state:
            raise SupervisorFault(10, "BAD_NAME")
        return {"statename": self.state}


@dataclasses.dataclass
class Setting:
    clock: Clock
    issuer: OwnIssuer
    supervised: Supervised
    certificate: Certificate
    keeper: Keeper
    said: list[str] = dataclasses.field(default_factory=list)

    def work(self) -> bool:
        return self.keeper.work(self.said.append)


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    clock = Clock()
    monkeypatch.setattr(certificates, "time", clock)
    tls.ensure(tmp_path / "tls", "localhost")
    return make(tmp_path, clock, servers=())


def make(directory: Path, clock: Clock, *, servers: tuple[Server, ...], names: str = "localhost") -> Setting:
    path = directory / "certificates" / "edge" / "current" / "tls.pem"
    wanted = Wanted("edge", path, "edge", [names], ["127.0.0.1"], 3000.0, servers)
    certificate = Certificate(wanted, str(directory / "tls" / "ca.crt"))
    issuer, supervised = OwnIssuer(directory / "tls", clock), Supervised()
    keeper = Keeper(issuer, [certificate], supervised)  # type: ignore[arg-type]
    return Setting(clock, issuer, supervised, certificate, keeper)


def test_the_first_is_issued_at_once_and_kept_for_six_tenths_of_its_life(setting: Setting) -> None:
    assert not setting.keeper.healthy()
    assert setting.work()
    assert setting.keeper.healthy()
    first = setting.certificate.path.read_text()
    setting.clock.now += 1799
    assert setting.work()
    assert setting.certificate.path.read_text() == first
    assert setting.keeper.next() == pytest.approx(1)
    setting.clock.now += 1
    assert setting.work()
    assert setting.certificate.path.read_text() != first
    assert setting.issuer.issued == 2


def test_it_is_unhealthy_from_two_thirds_of_a_life_on(setting: Setting) -> None:
    setting.work()
    setting.issuer.failure = "openbao is away"
    setting.clock.now += 1999
    assert not setting.work()
    assert setting.keeper.healthy()
    setting.clock.now += 1
    assert not setting.keeper.healthy()


def test_a_failure_is_said_once_and_so_is_its_end(setting: Setting) -> None:
    setting.issuer.failure = "openbao is away"
    assert [setting.work() for _ in range(3)] == [False] * 3
    setting.issuer.failure = ""
    assert setting.work()
    assert [line for line in setting.said if "new certificate" not in line] == [
        "openbao is away",
        "issuing: works again",
    ]
    assert "renecinfra_certificate_failures_total 3" in setting.keeper.metrics()


def test_a_clock_that_was_set_back_asks_for_another(setting: Setting) -> None:
    setting.work()
    setting.clock.now -= 100
    assert setting.certificate.due(setting.clock.now) <= 0


@pytest.mark.parametrize("damage", ["key", "record", "link"])
def test_damage_asks_for_another(setting: Setting, damage: str) -> None:
    setting.work()
    path = setting.certificate.path
    if damage == "key":
        path.write_text(path.read_text()[:-100])
    elif damage == "record":
        path.with_name("certificate.json").write_text("{")
    else:
        path.parent.unlink()
    assert not setting.keeper.healthy()
    setting.clock.now += 1
    assert setting.work()
    assert setting.keeper.healthy()


def test_other_names_and_another_authority_ask_for_another(setting: Setting, tmp_path: Path) -> None:
    setting.work()
    other = make(tmp_path, setting.clock, servers=(), names="renec.test")
    assert other.certificate.record is None
    again = make(tmp_path, setting.clock, servers=())
    assert again.certificate.record is not None
    tls.ensure(tmp_path / "tls", "renec.test")
    assert again.certificate.record is None


def test_what_clients_would_refuse_is_not_put_in_place(setting: Setting, tmp_path: Path) -> None:
    setting.work()
    before = setting.certificate.path.read_text()
    tls.ensure(tmp_path / "stranger", "localhost")
    setting.issuer.directory = tmp_path / "stranger"
    setting.clock.now += 1800
    assert not setting.work()
    assert "clients would refuse the certificate of edge" in setting.said[-1]
    assert setting.certificate.path.read_text() == before
    assert len(list(setting.certificate.path.parent.parent.iterdir())) == 2


def test_the_one_before_stays_for_who_is_just_reading_it(setting: Setting) -> None:
    kept = []
    for _ in range(4):
        setting.work()
        kept.append(setting.certificate.path.parent.resolve())
        setting.clock.now += 1800
    assert [directory.is_dir() for directory in kept] == [False, False, True, True]
    assert {path.stat().st_mode & 0o777 for path in kept[-1].iterdir() if path.is_file()} == {0o600}


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_service_that_does_not_listen_yet_is_told_nothing(
    setting: Setting, tmp_path: Path, free_port: int
) -> None:
    """A replica that copies its data is a script, which SIGHUP would end."""
    server = Server("postgresql-replica", "postgresql", free_port, "hup")
    setting = make(tmp_path, setting.clock, servers=(server,))
    setting.supervised.state = "STARTING"
    assert not setting.work()
    assert setting.supervised.signalled == []
    assert setting.certificate.unsettled == {server}
    setting.supervised.state = "STOPPED"
    assert setting.work()
    assert setting.certificate.unsettled == set()


def test_a_service_that_serves_an_older_certificate_is_told_until_it_serves_the_new_one(
    setting: Setting, tmp_path: Path
) -> None:
    with serving(tmp_path) as (port, context):
        server = Server("pgbouncer", "tls", port, "hup")
        setting = make(tmp_path, setting.clock, servers=(server,))
        call = setting.supervised.call

        def obey(method: str, *arguments: str) -> Any:
            if method == "signalProcess":
                context.load_cert_chain(setting.certificate.path)
            return call(method, *arguments)

        setting.supervised.call = obey  # type: ignore[method-assign]
        assert setting.work()
        assert setting.supervised.signalled == [("pgbouncer", "HUP")]
        assert setting.certificate.unsettled == set()
        # It serves the newest: nobody is told again.
        setting.certificate.unsettled = {server}
        assert setting.work()
        assert len(setting.supervised.signalled) == 1


def test_a_service_that_does_not_obey_is_an_error(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "_SETTLE_SECONDS", 0.1)
    with serving(tmp_path) as (port, _):
        server = Server("pgbouncer", "tls", port, "hup")
        setting = make(tmp_path, setting.clock, servers=(server,))
        assert not setting.work()
        assert setting.said[-1] == "pgbouncer still serves an older certificate"
        with pytest.raises(ReloadError):
            setting.certificate.settle(server, setting.supervised)  # type: ignore[arg-type]


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[tuple[int, ssl.SSLContext]]:
    """A TLS server with the edge's certificate of the test's authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "tls" / "edge.crt", directory / "tls" / "edge.key")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                connection.settimeout(5)
                with context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(1)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], context
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_health_and_metrics_are_answered(setting: Setting, free_port: int) -> None:
    server = certificates.ThreadingHTTPServer(("127.0.0.1", free_port), certificates._handler(setting.keeper))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{free_port}/health")
        assert caught.value.code == 503
        caught.value.close()
        setting.work()
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/health") as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics") as answer:
            assert 'renecinfra_certificate_renewals_total{consumer="edge"} 1' in answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_credentials_that_are_not_there_are_named_without_their_content(tmp_path: Path) -> None:
    path = tmp_path / "approle.json"
    path.write_text(json.dumps({"role_id": "known"}))
    issuer = Issuer("http://127.0.0.1:1", "", str(path), "pki_int", 1.0)
    refused = pytest.raises(IssuerError, match=r"approle\.json does not hold the AppRole's credentials")
    with refused, issuer.session():
        pass


def test_nobody_listening_is_an_error_of_one_line(tmp_path: Path, free_port: int) -> None:
    path = tmp_path / "approle.json"
    path.write_text(json.dumps({"role_id": "known", "secret_id": "canary"}))
    issuer = Issuer(f"http://127.0.0.1:{free_port}", "", str(path), "pki_int", 1.0)
    with pytest.raises(IssuerError, match="cannot be asked: Connection refused") as caught, issuer.session():
        pass
    assert "canary" not in str(caught.value)
