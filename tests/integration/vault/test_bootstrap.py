"""An environment's own OpenBao, set up for real: from nothing, again, and killed at any of its requests."""

from __future__ import annotations

import contextlib
import json
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from renecinfra.errors import SecretsError
from renecinfra.profiles.model import Profile
from renecinfra.rendering import Renderer
from renecinfra.secrets import openbao, setup
from renecinfra.secrets.bootstrap import bootstrap, is_complete
from renecinfra.secrets.references import layout_of
from renecinfra.secrets.vault import VaultClient
from renecinfra.secrets.vault_store import VaultStore
from renecinfra.secrets.vault_types import MethodLogin, TokenLogin
from renecinfra.sensitive import Secret
from renecinfra.workspace import EnvironmentPaths

from .conftest import ROOT, free_port, program

pytestmark = pytest.mark.integration


class Killed(BaseException):
    """What a SIGKILL is to the work under way."""


class Server:
    """OpenBao with the configuration that the local platform renders."""

    def __init__(self, directory: Path) -> None:
        self.paths = EnvironmentPaths("case", directory / "state", directory / "home")
        ports = {"openbao": free_port(), "openbao_cluster": free_port()}
        self.profile = Profile.model_validate(
            {
                "environment": "case",
                "platform": {"kind": "local", "ports": ports},
                "secrets": {"provider": "openbao"},
            }
        )
        self.log = directory / "bao.log"
        openbao.prepare(self.paths)
        etc, self.data = self.paths.etc / "openbao", self.paths.data / "openbao"
        for made in (etc, self.data, self.paths.log):
            made.mkdir(parents=True)
        context = {
            "profile": self.profile,
            "port": ports["openbao"],
            "cluster_port": ports["openbao_cluster"],
            "etc": str(etc),
            "data": str(self.data),
            "audit": str(self.paths.log / "openbao-audit.log"),
        }
        text = Renderer(ROOT / "templates").render("openbao/openbao.hcl.j2", context)
        (etc / "openbao.hcl").write_text(text)
        (etc / "seal.key").write_text(openbao.seal_key(self.paths).reveal())
        (etc / "tls.crt").write_text(openbao.certificate(self.paths) or "")
        (etc / "tls.key").write_text(openbao.listener_key(self.paths).reveal())
        self.configuration = etc / "openbao.hcl"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [program(), "server", "-config", str(self.configuration)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": "/usr/bin:/bin", "HOME": str(self.data)},
            )
        with VaultClient(openbao.connection(self.profile, self.paths), None) as client:
            deadline = time.monotonic() + 20
            while True:
                try:
                    client.health()
                    return
                except SecretsError:
                    assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
                    time.sleep(0.05)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def start_empty(self) -> None:
        self.stop()
        shutil.rmtree(self.data)
        self.data.mkdir()
        self.start()

    def forget(self) -> None:
        """As before the first start, but for the seal's key and the listener's certificate."""
        self.start_empty()
        for name in (openbao.APPROLE, openbao.RECOVERY, openbao.ROOT, openbao.INITIALISING):
            (self.paths.openbao / name).unlink(missing_ok=True)
        self.paths.ca.unlink(missing_ok=True)

    def bootstrap(self) -> bool:
        return bootstrap(self.profile, self.paths, start_empty=self.start_empty)

    def store(self, client: VaultClient) -> VaultStore:
        return VaultStore(client, layout_of(self.profile), generate=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):
    server = Server(tmp_path_factory.mktemp("openbao"))
    yield server
    server.stop()


@pytest.fixture
def server(shared: Server) -> Server:
    shared.forget()
    return shared


@pytest.fixture
def ready(shared: Server) -> Server:
    if not is_complete(shared.profile, shared.paths):
        shared.bootstrap()
    return shared


def usable(server: Server) -> None:
    """Our own login works, secrets are made, the agent can log in, and nothing is left of the bootstrap."""
    assert is_complete(server.profile, server.paths)
    with openbao.client(server.profile, server.paths) as client:
        made = server.store(client).resolve(["generated:a_password", setup.CERTIFICATES_SECRET_ID])
    body = {
        "role_id": setup.CERTIFICATES_ROLE_ID,
        "secret_id": made[setup.CERTIFICATES_SECRET_ID].value,
    }
    connection = openbao.connection(server.profile, server.paths)
    with VaultClient(connection, lambda: MethodLogin("approle", "approle", body, "the test")) as agent:
        names = {"common_name": "localhost", "ip_sans": "127.0.0.1", "ttl": "1h"}
        assert agent.issue(setup.PKI_INTERMEDIATE_MOUNT, "redis", names).private_key
        with pytest.raises(SecretsError) as refused:
            server.store(agent).resolve(["generated:a_password"])
        assert refused.value.id == "vault-denied"
    left = {path.name for path in server.paths.openbao.iterdir()}
    assert left == {openbao.SEAL_KEY, openbao.APPROLE, openbao.RECOVERY, "tls"}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in server.paths.openbao.iterdir() if path.is_file()}
    assert modes == {0o600}


def test_the_root_token_is_revoked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[Secret] = []
    original = VaultClient.use_token

    def remember(client: VaultClient, token: Secret) -> None:
        tokens.append(token)
        original(client, token)

    monkeypatch.setattr(VaultClient, "use_token", remember)
    assert server.bootstrap()
    assert not server.bootstrap()
    usable(server)
    assert len(tokens) == 1
    connection = openbao.connection(server.profile, server.paths)
    with VaultClient(connection, lambda: TokenLogin(tokens[0], "the test")) as client:
        with pytest.raises(SecretsError) as refused:
            client.lookup_self()
        assert refused.value.id == "vault-token-invalid"


def test_what_was_stored_is_there_after_a_restart(ready: Server) -> None:
    with openbao.client(ready.profile, ready.paths) as client:
        before = ready.store(client).resolve(["generated:kept"])
    ready.stop()
    assert not openbao.serves(ready.profile, ready.paths)
    ready.start()
    deadline = time.monotonic() + 20
    while not openbao.serves(ready.profile, ready.paths):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with openbao.client(ready.profile, ready.paths) as client:
        assert ready.store(client).resolve(["generated:kept"]) == before


def test_another_setup_is_brought_about_without_the_first_root_token(ready: Server) -> None:
    path = ready.paths.openbao / openbao.APPROLE
    with openbao.client(ready.profile, ready.paths) as client:
        before = ready.store(client).resolve(["generated:kept"])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"setup": "of an earlier version"}))
    assert not is_complete(ready.profile, ready.paths)
    assert ready.bootstrap()
    usable(ready)
    with openbao.client(ready.profile, ready.paths) as client:
        assert ready.store(client).resolve(["generated:kept"]) == before


def test_without_login_and_recovery_key_nothing_is_deleted(server: Server) -> None:
    server.bootstrap()
    for name in (openbao.APPROLE, openbao.RECOVERY):
        (server.paths.openbao / name).unlink()
    with pytest.raises(SecretsError) as lost:
        server.bootstrap()
    assert lost.value.id == "openbao-credentials-lost"


def test_a_lost_seal_key_is_not_replaced(tmp_path: Path) -> None:
    paths = EnvironmentPaths("case", tmp_path / "state", tmp_path / "home")
    openbao.prepare(paths)
    key = openbao.seal_key(paths).reveal()
    openbao.prepare(paths)
    assert openbao.seal_key(paths).reveal() == key
    (paths.data / "openbao").mkdir(parents=True)
    (paths.data / "openbao" / "vault.db").touch()
    (paths.openbao / openbao.SEAL_KEY).unlink()
    with pytest.raises(SecretsError) as lost:
        openbao.prepare(paths)
    assert lost.value.id == "openbao-seal-lost"


def killed_at(server: Server, number: int, when: str, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Run the bootstrap up to its request ``number``; which request that was, None where there are fewer.

    Only new requests count, since how often its health is asked for is a matter of time.
    """
    seen: set[str] = {"GET sys/health"}
    killed = None
    original = VaultClient.request

    def request(client: VaultClient, method: str, path: str, *args: object, **options: object):
        nonlocal killed
        new = f"{method} {path}" not in seen
        seen.add(f"{method} {path}")
        if new and len(seen) == number + 1:
            killed = f"{method} {path}"
            if when == "after":
                with contextlib.suppress(SecretsError):
                    original(client, method, path, *args, **options)  # type: ignore[arg-type]
            raise Killed
        return original(client, method, path, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(VaultClient, "request", request)
        # A process that was killed revokes nothing either.
        patch.setattr(VaultClient, "close", lambda client: None)
        try:
            server.bootstrap()
        except Killed:
            return killed
    return None


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 8, 16])
def test_killed_at_a_request_the_next_run_finishes(
    server: Server, number: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert killed_at(server, number, when, monkeypatch) is not None
    assert not is_complete(server.profile, server.paths)
    assert server.bootstrap()
    usable(server)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_killed_at_every_request_the_next_run_finishes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for number in range(1, 200):
        for when in ("before", "after"):
            server.forget()
            request = killed_at(server, number, when, monkeypatch)
            if request is None:
                break
            seen.append(request)
            server.bootstrap()
            usable(server)
        else:
            continue
        break
    assert "PUT sys/init" in seen
    assert seen[-1] == "POST auth/token/revoke-self"
