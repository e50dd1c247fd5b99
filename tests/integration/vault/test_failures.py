"""Every way in which a Vault can fail is one error that names the reference, in time, and changes nothing."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from renecinfra import tls
from renecinfra.errors import ExitCode, SecretsError
from renecinfra.secrets.references import KvLayout
from renecinfra.secrets.vault import VaultClient
from renecinfra.secrets.vault_store import VaultStore
from renecinfra.secrets.vault_types import Connection, TokenLogin
from renecinfra.sensitive import Secret

from .conftest import TIMEOUT, free_port, json_answer, running

pytestmark = pytest.mark.integration
REFERENCE = "vault:database#password"
SLACK = 1.0


def failure(store: VaultStore, reference: str = REFERENCE) -> SecretsError:
    """The error of resolving a reference; it comes in time, exits 5, and names the reference and a remedy."""
    started = time.monotonic()
    with pytest.raises(SecretsError) as caught:
        store.resolve([reference])
    assert time.monotonic() - started <= TIMEOUT + SLACK
    error = caught.value
    assert error.exit_code is ExitCode.SECRETS
    assert reference in error.message
    assert error.hint
    return error


def store_at(address: str, *, ca_file: Path | None = None) -> VaultStore:
    connection = Connection(address, ca_file=ca_file, timeout=TIMEOUT)
    client = VaultClient(connection, lambda: TokenLogin(Secret("hvs.example"), "VAULT_TOKEN"))
    return VaultStore(client, KvLayout("kv", "renec/prod"))


def test_down():
    assert failure(store_at(f"http://127.0.0.1:{free_port()}")).id == "vault-unreachable"


def test_host_unknown():
    assert failure(store_at("https://vault.invalid:8200")).id == "vault-unreachable"


def test_hanging():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = failure(store_at(f"http://127.0.0.1:{listener.getsockname()[1]}"))
    assert error.id == "vault-timeout"
    assert "2 s" in error.message


def test_sealed(tmp_path):
    with running(tmp_path) as (address, root):
        client = VaultClient(Connection(address), lambda: TokenLogin(Secret(root), "root"))
        client.request("PUT", "sys/seal")
        assert client.health().sealed
        assert failure(store_at(address)).id == "vault-sealed"
        client._hvac.adapter.close()


@pytest.mark.parametrize(
    ("status", "headers", "text"),
    [
        (500, {}, '{"errors": ["local node not active but active cluster node not found"]}'),
        (307, {"Location": "http://127.0.0.1:1/v1/kv"}, ""),
        (473, {}, '{"errors": ["node is not active"]}'),
    ],
)
def test_standby(http_server, status, headers, text):
    def answer(_):
        code, own, body = json_answer(status, text)
        return code, {**own, **headers}, body

    assert failure(store_at(http_server(answer))).id == "vault-standby"


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (503, '{"errors": ["Vault is sealed"]}', "vault-sealed"),
        (501, '{"errors": []}', "vault-uninitialised"),
        (429, '{"errors": ["request path: rate limit quota exceeded"]}', "vault-busy"),
        (502, "<html>bad gateway</html>", "vault-failed"),
        (200, "<html>a captive portal</html>", "vault-failed"),
    ],
)
def test_answers_of_proxies_and_of_vaults_in_trouble(http_server, status, text, expected):
    assert failure(store_at(http_server(lambda _: json_answer(status, text)))).id == expected


def test_a_redirect_does_not_get_the_token(http_server):
    seen: list[str] = []

    def elsewhere(request):
        seen.append(request.headers.get("X-Vault-Token", ""))
        return json_answer(200, "{}")

    target = http_server(elsewhere)
    redirecting = http_server(lambda _: (307, {"Location": f"{target}/v1/kv/data/x"}, b""))
    failure(store_at(redirecting))
    assert not seen


def test_wrong_ca(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for directory in (ours, theirs):
        tls.ensure(directory, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(theirs / tls.CERTIFICATE, theirs / tls.KEY)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_refused_handshake, args=(context, listener))
        thread.start()
        address = f"https://localhost:{listener.getsockname()[1]}"
        error = failure(store_at(address, ca_file=ours / tls.AUTHORITY))
        thread.join()
    assert error.id == "vault-tls"
    assert "ca_file" in error.hint


def _refused_handshake(context: ssl.SSLContext, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            return


def test_ca_file_missing(tmp_path):
    with pytest.raises(SecretsError, match="not a file") as caught:
        store_at("https://localhost:1", ca_file=tmp_path / "ca.crt")
    assert caught.value.id == "vault-ca-unreadable"


def test_http_to_a_tls_listener_and_the_reverse(bao):
    error = failure(store_at(bao.address.replace("http:", "https:")))
    assert error.id == "vault-tls"
    assert "does not speak TLS" in error.message


def test_expired_token(bao):
    bao.write("database", password="one")
    token = bao.token(bao.reading("database"), ttl="2s")
    assert bao.store(token).resolve([REFERENCE])
    time.sleep(2.5)
    error = failure(bao.store(token))
    assert error.id == "vault-token-invalid"
    assert "expired" in error.message


def test_unknown_token(bao):
    assert failure(bao.store(Secret("hvs.unknown"))).id == "vault-token-invalid"


def test_denied_says_what_is_missing(bao):
    bao.write("database", password="one")
    error = failure(bao.store(bao.token()))
    assert error.id == "vault-denied"
    assert f'path "{bao.mount}/data/renec/prod/database" {{ capabilities = ["read"] }}' in error.hint


def test_missing_path(bao):
    error = failure(bao.store())
    assert error.id == "vault-path-missing"
    assert f"{bao.mount}/data/renec/prod/database" in error.message


def test_missing_field(bao):
    bao.write("database", other="one")
    assert failure(bao.store()).id == "vault-field-missing"


@pytest.mark.parametrize("verb", ["delete", "destroy"])
def test_deleted_version(bao, verb):
    bao.write("database", password="one")
    bao.root.request("POST", f"{bao.mount}/{verb}/renec/prod/database", {"versions": [1]})
    error = failure(bao.store())
    assert error.id == "vault-version-deleted"
    assert "version 1" in error.message


def test_missing_version(bao):
    bao.write("database", password="one")
    error = failure(bao.store(), f"{REFERENCE}@7")
    assert error.id == "vault-version-missing"
    assert "version 7" in error.message


def test_wrong_mount(bao):
    store = VaultStore(bao.root, KvLayout("nowhere", "renec/prod"))
    error = failure(store)
    assert error.id == "vault-mount-missing"
    assert "nowhere/" in error.message


def test_a_mount_that_has_no_versions(bao):
    bao.root.request("POST", f"sys/mounts/{bao.mount}-1", {"type": "kv", "options": {"version": "1"}})
    bao.root.request("POST", f"{bao.mount}-1/data/renec/prod/database", {"password": "one"})
    assert failure(VaultStore(bao.root, KvLayout(f"{bao.mount}-1", "renec/prod"))).id == "vault-mount-missing"
    bao.root.request("DELETE", f"sys/mounts/{bao.mount}-1")


def test_going_down_in_the_middle_leaves_what_was_read(tmp_path):
    with running(tmp_path) as (address, root):
        client = VaultClient(Connection(address, timeout=TIMEOUT), lambda: TokenLogin(Secret(root), "root"))
        client.write_secret("secret", "renec/prod/database", {"password": Secret("one")})
        store = VaultStore(client, KvLayout("secret", "renec/prod"))
        first = store.resolve([REFERENCE])
    assert store.resolve([REFERENCE]) == first
    assert failure(store, "vault:api#key").id == "vault-unreachable"
    client.close()


def test_no_error_shows_a_value(bao):
    canary = "canary-value-9d1c"
    bao.write("database", password=canary)
    for error in (failure(bao.store(), "vault:database#nothing"), failure(bao.store(bao.token()))):
        assert canary not in repr(
            (error.message, error.hint, error.details, error.__cause__, error.__context__)
        )
