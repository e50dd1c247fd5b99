"""Whether a service serves: one request of the kind that its manifest names. Standard library only."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from renecinfra.agents.home import Home, Manifest

_HOST = "127.0.0.1"
_HEAD_MAX = 65536


class Health(NamedTuple):
    """The answer to one check, and what was seen."""

    ok: bool
    detail: str


def check(home: Home, manifest: Manifest, timeout: float) -> Health:
    """Ask the service once; an answer that takes longer than ``timeout`` seconds is no answer.

    Whether the supervisor sees it running is for the caller to know, so ``running`` is always true here.
    """
    probe = _PROBES[manifest.health["kind"]]
    try:
        return probe(home, manifest, timeout)
    except TimeoutError:
        return Health(False, f"no answer within {timeout:.1f} s")
    except (OSError, ValueError) as error:
        return Health(False, getattr(error, "strerror", None) or str(error))


def _running(home: Home, manifest: Manifest, timeout: float) -> Health:
    del home, manifest, timeout
    return Health(True, "running")


def _tcp(home: Home, manifest: Manifest, timeout: float) -> Health:
    del home
    with _connect(manifest.health["port"], timeout):
        return Health(True, "accepts connections")


def _connect(port: int, timeout: float) -> socket.socket:
    return socket.create_connection((_HOST, port), timeout)


def _http(home: Home, manifest: Manifest, timeout: float) -> Health:
    # By hand: http.client costs 25 ms of every start. HTTP/1.0, and only the status line is looked at.
    del home
    health = manifest.health
    connection = _connect(health["port"], timeout)
    if health["scheme"] == "https":
        connection = _tls(connection)
    with connection:
        request = (
            f"GET {health['path']} HTTP/1.0\r\nHost: localhost:{health['port']}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode("ascii"))
        line = _line(connection).decode("latin-1")
    version, _, rest = line.partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/") or not code.isdigit():
        return Health(False, "what answers does not speak HTTP")
    right = code.startswith("2") if health["status"] == 200 else int(code) == health["status"]
    return Health(right, f"HTTP {code} at {health['path']}")


def _tls(connection: socket.socket) -> socket.socket:
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # 127.0.0.1, and no secret is sent; see HealthCheck
    try:
        return context.wrap_socket(connection, server_hostname="localhost")
    except BaseException:
        connection.close()
        raise


def _verified_tls(connection: socket.socket, ca_file: str) -> socket.socket:
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_file).wrap_socket(connection, server_hostname="localhost")
    except BaseException:
        connection.close()
        raise


def _line(connection: socket.socket) -> bytes:
    received = b""
    while b"\n" not in received and len(received) < _HEAD_MAX:
        part = connection.recv(4096)
        if not part:
            raise ValueError("the connection was closed without an answer")
        received += part
    return received.partition(b"\n")[0].rstrip(b"\r")


def _redis(home: Home, manifest: Manifest, timeout: float) -> Health:
    # The answer is what counts: redis-cli exits 0 on a wrong password. +PONG only; LOADING is an error reply.
    health = manifest.health
    connection = _connect(health["port"], timeout)
    if health.get("ca_file"):
        connection = _verified_tls(connection, health["ca_file"])
    with connection:
        if health["password_file"]:
            user = [health["user"]] if health["user"] else []
            connection.sendall(_resp("AUTH", *user, _password_file(home, manifest).read_text().rstrip("\n")))
            answer = _line(connection)
            if answer != b"+OK":
                return Health(False, f"refused the login: {_error_word(answer)}")
        connection.sendall(_resp("PING"))
        answer = _line(connection)
    return Health(True, "PONG") if answer == b"+PONG" else Health(False, _error_word(answer))


def _resp(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
    return b"".join(parts)


def _error_word(answer: bytes) -> str:
    # An error reply begins with its code (WRONGPASS, LOADING, NOAUTH); the rest might repeat what was sent.
    return answer.lstrip(b"-").split(b" ")[0].decode("ascii", "replace")[:40]


def _password_file(home: Home, manifest: Manifest) -> Path:
    return home.path / "etc" / manifest.name / str(manifest.health["password_file"])


def _postgresql(home: Home, manifest: Manifest, timeout: float) -> Health:
    import subprocess  # here, because most services do without its 10 ms

    health = manifest.health
    query = "SELECT pg_is_in_recovery()" if health["role"] else "SELECT 1"
    host = health["socket"] or _HOST
    argv = [health["program"], "-XAtqw", "-h", host, "-p", str(health["port"]), "-c", query]
    argv += ["-U", health["user"]] if health["user"] else []
    argv += ["-d", health["database"] or "postgres"]
    variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGCONNECT_TIMEOUT": str(max(2, int(timeout)))}
    if health["password_file"]:
        variables["PGPASSFILE"] = str(_password_file(home, manifest))
    if health.get("ca_file"):
        variables |= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": health["ca_file"]}
    try:
        done = subprocess.run(  # noqa: S603 - a fixed argv; the password is in a file
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            env=variables,
            timeout=timeout,
            **_as_service_user(home),
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return Health(False, lines[-1] if lines else f"psql exited with {done.returncode}")
    return _role(done.stdout.strip(), health["role"])


def _role(answer: str, wanted: str) -> Health:
    if not wanted:
        return Health(answer == "1", "answers queries")
    role = {"t": "replica", "f": "primary"}.get(answer, "something unknown")
    return Health(role == wanted, f"is {role}")


def _as_service_user(home: Home) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": home.uid, "group": home.gid, "extra_groups": []}


_PROBES: dict[str, Callable[[Home, Manifest, float], Health]] = {
    "running": _running,
    "tcp": _tcp,
    "http": _http,
    "redis": _redis,
    "postgresql": _postgresql,
}
