"""Health checks against servers that answer rightly, wrongly, slowly, or not at all."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from renecinfra import tls
from renecinfra.agents import health
from renecinfra.agents.home import Home, Manifest


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """One connection's worth of a server on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def check(tmp_path: Path, timeout: float = 2.0, **fields: Any) -> health.Health:
    home = Home(tmp_path, tmp_path, os.getuid(), os.getgid(), "/usr/bin/python3", "x")
    defaults = {
        "port": 0,
        "path": "/",
        "status": 200,
        "role": "",
        "scheme": "http",
        "program": "",
        "socket": "",
    }
    full = {**defaults, "user": "", "database": "", "password_file": "", **fields}
    return health.check(
        home, Manifest("web", "edge", "process", [], "/", {}, [], full, "", "TERM", 1, 1), timeout
    )


def http(line: str) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"{line}\r\nContent-Length: 0\r\n\r\n".encode())

    return answer


@pytest.mark.parametrize(
    ("line", "status", "ok"),
    [
        ("HTTP/1.1 200 OK", 200, True),
        ("HTTP/1.1 204 No Content", 200, True),
        ("HTTP/1.1 503 Service Unavailable", 200, False),
        ("HTTP/1.1 301 Moved", 301, True),
        ("HTTP/1.1 200 OK", 301, False),
        ("SSH-2.0-OpenSSH", 200, False),
        ("HTTP/1.1 two OK", 200, False),
    ],
)
def test_http(tmp_path: Path, line: str, status: int, ok: bool) -> None:
    with server(http(line)) as port:
        assert check(tmp_path, kind="http", port=port, status=status).ok is ok


def test_http_says_what_was_seen(tmp_path: Path) -> None:
    with server(http("HTTP/1.1 503 Busy")) as port:
        assert (
            check(tmp_path, kind="http", port=port, path="/health/ready").detail
            == "HTTP 503 at /health/ready"
        )


def test_https_whose_certificate_nobody_knows(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elsewhere.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    both = certificate.public_bytes(pem) + key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "pem").write_bytes(both)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            http("HTTP/1.1 200 OK")(secured)

    with server(answer) as port:
        assert check(tmp_path, kind="http", scheme="https", port=port).ok
    with server(http("HTTP/1.1 200 OK")) as port:
        assert not check(tmp_path, kind="http", scheme="https", port=port).ok


def test_a_server_that_says_nothing_is_not_healthy(tmp_path: Path) -> None:
    with server(lambda connection: connection.recv(4096) and connection.recv(1) and None) as port:
        answer = check(tmp_path, 0.2, kind="http", port=port)
    assert answer == (False, "no answer within 0.2 s")
    with server(lambda connection: None) as port:
        assert not check(tmp_path, kind="http", port=port).ok


def test_a_refused_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for kind in ("http", "tcp", "redis"):
        assert check(tmp_path, kind=kind, port=port) == (False, "Connection refused")


def test_tcp_and_running(tmp_path: Path) -> None:
    with server(lambda connection: None) as port:
        assert check(tmp_path, kind="tcp", port=port).ok
    assert check(tmp_path, kind="running").ok


def redis(*answers: bytes, seen: list[bytes]) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        for one in answers:
            seen.append(connection.recv(4096))
            connection.sendall(one + b"\r\n")

    return answer


def test_redis_logs_in_and_wants_pong(tmp_path: Path) -> None:
    (tmp_path / "etc" / "web").mkdir(parents=True)
    (tmp_path / "etc" / "web" / "password").write_text("pä ss\n")
    seen: list[bytes] = []
    with server(redis(b"+OK", b"+PONG", seen=seen)) as port:
        assert check(tmp_path, kind="redis", port=port, user="monitor", password_file="password").ok
    assert seen[0] == b"*3\r\n$4\r\nAUTH\r\n$7\r\nmonitor\r\n$6\r\np\xc3\xa4 ss\r\n"
    assert seen[1] == b"*1\r\n$4\r\nPING\r\n"


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"-LOADING Redis is loading the dataset in memory", "LOADING"),
        (b"-NOAUTH Authentication required.", "NOAUTH"),
        (b"+WHAT", "+WHAT"),
    ],
)
def test_redis_that_does_not_answer_pong(tmp_path: Path, answer: bytes, detail: str) -> None:
    with server(redis(answer, seen=[])) as port:
        assert check(tmp_path, kind="redis", port=port) == (False, detail)


def test_redis_with_a_wrong_password_never_shows_it(tmp_path: Path) -> None:
    (tmp_path / "etc" / "web").mkdir(parents=True)
    (tmp_path / "etc" / "web" / "password").write_text("s3cret")
    with server(redis(b"-WRONGPASS invalid s3cret", seen=[])) as port:
        answer = check(tmp_path, kind="redis", port=port, password_file="password")
    assert answer == (False, "refused the login: WRONGPASS")
    assert not check(tmp_path, kind="redis", port=port, password_file="missing").ok


def psql(tmp_path: Path, script: str) -> str:
    program = tmp_path / "psql"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    # Root runs psql as the service user, here the caller.
    return str(program)


@pytest.mark.parametrize(
    ("script", "role", "expected"),
    [
        ("echo f", "primary", (True, "is primary")),
        ("echo t", "replica", (True, "is replica")),
        ("echo t", "primary", (False, "is replica")),
        ("echo 1", "", (True, "answers queries")),
        ("echo", "", (False, "answers queries")),
        ("echo first >&2; echo 'FATAL: starting up' >&2; exit 2", "", (False, "FATAL: starting up")),
        ("exit 2", "", (False, "psql exited with 2")),
        ("exec sleep 5", "", (False, "no answer within 0.5 s")),
    ],
)
def test_postgresql(tmp_path: Path, script: str, role: str, expected: tuple[bool, str]) -> None:
    program = psql(tmp_path, script)
    assert check(tmp_path, 0.5, kind="postgresql", program=program, role=role) == expected


def test_postgresql_is_asked_by_file_and_socket(tmp_path: Path) -> None:
    program = psql(tmp_path, f'echo "$@" >{tmp_path}/seen; env >>{tmp_path}/seen; echo f')
    fields = {"port": 5432, "socket": "/run/pg", "user": "renec_monitor", "password_file": "health.pgpass"}
    assert check(tmp_path, kind="postgresql", program=program, role="primary", **fields).ok
    seen = (tmp_path / "seen").read_text()
    assert "-h /run/pg -p 5432 -c SELECT pg_is_in_recovery() -U renec_monitor -d postgres" in seen
    assert f"PGPASSFILE={tmp_path}/etc/web/health.pgpass" in seen


def test_a_missing_psql(tmp_path: Path) -> None:
    assert check(tmp_path, kind="postgresql", program="/nonexistent/psql") == (
        False,
        "No such file or directory",
    )


@pytest.mark.parametrize("trusted", [True, False])
def test_redis_over_tls_is_told_a_password_only_once_it_proved_who_it_is(
    tmp_path: Path, trusted: bool
) -> None:
    tls.ensure(tmp_path / "server", "localhost")
    tls.ensure(tmp_path / "stranger", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server" / "edge.crt", tmp_path / "server" / "edge.key")
    (tmp_path / "etc" / "web").mkdir(parents=True)
    (tmp_path / "etc" / "web" / "password").write_text("s3cret")
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        with suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as secured:
            redis(b"+OK", b"+PONG", seen=seen)(secured)

    authority = tmp_path / ("server" if trusted else "stranger") / "ca.crt"
    with server(answer) as port:
        found = check(
            tmp_path, kind="redis", port=port, user="m", password_file="password", ca_file=str(authority)
        )
    assert found.ok is trusted
    assert any(b"s3cret" in words for words in seen) is trusted
    assert trusted or "certificate verify failed" in found.detail
