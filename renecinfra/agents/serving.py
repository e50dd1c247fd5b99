"""Whether a service serves a certificate, and having it take a new one. Standard library only.

Each kind of service takes a new certificate in its own way, none of which drops a connection: nginx reads it
at each handshake, PostgreSQL and PgBouncer at SIGHUP, Redis at CONFIG SET.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from pathlib import Path
from typing import Any, NamedTuple

from renecinfra.agents.rpc import Supervisor, SupervisorDown, SupervisorFault

_HOST = "127.0.0.1"
# What PostgreSQL's clients ask with before TLS (protocol, "SSLRequest").
_SSL_REQUEST = struct.pack(">ii", 8, 80877103)
_NAME = "localhost"
_SECONDS = 2.0


class ReloadError(Exception):
    """A service did not take its new certificate; the message says why."""


class Server(NamedTuple):
    """A service with a certificate: its name, how it begins TLS, its port, and how it takes a new one."""

    name: str
    protocol: str
    port: int
    reload: str
    user: str = ""
    password_file: str = ""


def trusting(authority: str) -> ssl.SSLContext:
    """What a client that trusts the certificates in file ``authority`` alone uses."""
    return ssl.create_default_context(cafile=authority)


def accepted(pem_file: Path, authority: str) -> None:
    """Shake hands with a key and a chain in memory, as a client that trusts ``authority`` alone would.

    Raises:
        ssl.SSLError, OSError: the client refuses, or key and certificate are no pair.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem_file)
    upwards, downwards = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = trusting(authority).wrap_bio(downwards, upwards, server_hostname=_NAME)
    theirs = server.wrap_bio(upwards, downwards, server_side=True)
    for _ in range(4):  # TLS 1.3 needs two turns
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


def served(server: Server, authority: str) -> bytes:
    """The certificate (DER) that the service shows a client that trusts ``authority`` alone.

    Raises:
        ssl.SSLError, OSError: nothing listens, or it does not pass verification.
    """
    with _connect(server, authority) as connection:
        shown = connection.getpeercert(binary_form=True) or b""
        with contextlib.suppress(OSError):
            connection.unwrap()  # said goodbye to, PgBouncer logs no warning
        return shown


def _connect(server: Server, authority: str) -> ssl.SSLSocket:
    connection = socket.create_connection((_HOST, server.port), _SECONDS)
    try:
        if server.protocol == "postgresql":
            connection.sendall(_SSL_REQUEST)
            if connection.recv(1) != b"S":
                raise OSError(f"{server.name} speaks no TLS")
        return trusting(authority).wrap_socket(connection, server_hostname=_NAME)
    except BaseException:
        connection.close()
        raise


def running(supervisor: Supervisor, name: str) -> bool:
    """Whether the supervisor has the service running, or on its way.

    Raises:
        SupervisorDown: the supervisor does not answer.
    """
    try:
        info: dict[str, Any] = supervisor.call("getProcessInfo", name)
    except SupervisorFault:
        return False  # it does not know it: it was never started
    return info["statename"] in ("STARTING", "RUNNING", "BACKOFF")


def reload(server: Server, supervisor: Supervisor, authority: str, pem_file: Path) -> None:
    """Have a service that runs read its certificate again.

    Raises:
        ReloadError: it cannot be told, or it refuses.
    """
    try:
        if server.reload == "hup":
            supervisor.call("signalProcess", server.name, "HUP")
        elif server.reload == "redis":
            _config_set(server, authority, pem_file)
    except (SupervisorFault, SupervisorDown, OSError) as error:
        raise ReloadError(f"{server.name}: {error}") from None


def _config_set(server: Server, authority: str, pem_file: Path) -> None:
    """CONFIG SET of both files in one command, which Redis applies together, or refuses together."""
    try:
        password = Path(server.password_file).read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise ReloadError(f"{server.password_file} cannot be read: {error.strerror}") from None
    config = ("CONFIG", "SET", "tls-cert-file", str(pem_file), "tls-key-file", str(pem_file))
    with _connect(server, authority) as connection:
        for words in (("AUTH", server.user, password), config):
            connection.sendall(_resp(*words))
            answer = connection.recv(4096)
            if not answer.startswith(b"+OK"):
                # An error's first word is its code; the rest might repeat what was sent.
                code = answer.lstrip(b"-").split(b" ")[0].decode("ascii", "replace")[:40]
                raise ReloadError(f"{server.name} refuses {words[0]}: {code}")


def _resp(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
