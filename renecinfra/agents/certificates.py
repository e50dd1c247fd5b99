"""Keeps the environment's certificates fresh: the service ``certificates``.

``python -m renecinfra.agents.certificates HOME`` takes one certificate for each consumer from OpenBao,
puts key and chain in place together, and takes another before two thirds of its life are over. The services
that use it then take it without dropping a connection, and it is asked of them whether they did. As long as
OpenBao does not answer, what is there stays, and it is tried again.

``etc/certificates/certificates.json`` says for whom. ``/health`` answers 200 while every certificate is there
and younger than two thirds of its life; ``/metrics`` is for Prometheus.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from renecinfra.agents.home import AgentError, load_home
from renecinfra.agents.issuing import Issued, Issuer, IssuerError
from renecinfra.agents.lifecycle import supervisor
from renecinfra.agents.rpc import Supervisor, SupervisorDown
from renecinfra.agents.serving import ReloadError, Server, accepted, reload, running, served

_RECORD = "certificate.json"
# Renewed at six tenths of its life, so that it is done before two thirds; past those it is too old.
_RENEW_AT, _TOO_OLD_AT = 0.6, 2 / 3
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 30.0
_LONGEST_WAIT = 60.0  # the clock may be set while it waits
_SETTLE_SECONDS, _SETTLE_POLL = 2.0, 0.05

Say = Callable[[str], None]


class Wanted(NamedTuple):
    """One consumer's certificate: its role in the PKI engine, its names, its life in seconds, its servers.

    ``path`` is the file of its key and its chain, ``<directory>/current/tls.pem``: one file, so that nobody
    finds one without the other, and by way of a link, so that who opens it twice can resolve the link once.
    ``public`` beside it is an empty directory for nginx, which resolves its ``root``.
    """

    name: str
    path: Path
    role: str
    names: list[str]
    addresses: list[str]
    ttl: float
    servers: tuple[Server, ...]


class Record(NamedTuple):
    """What is known of a certificate on disk; times in seconds since 1970."""

    digest: str
    request: str
    issued: float
    expires: float

    def age(self, now: float) -> float:
        """How much of its life is over: 0 when it was issued, 1 when it expires."""
        return (now - self.issued) / max(self.expires - self.issued, 1e-9)


class Certificate:
    """One consumer's certificate, on disk and at its servers."""

    def __init__(self, wanted: Wanted, authority: str) -> None:
        self.wanted = wanted
        self.authority = authority
        self.path = wanted.path
        self.renewals = 0
        # Started again, it does not know whether the last round came to its end.
        self.unsettled = set(wanted.servers)

    @property
    def record(self) -> Record | None:
        """What is on disk; None when there is nothing, or not what is wanted."""
        try:
            record = Record(**json.loads(self.path.with_name(_RECORD).read_text(encoding="ascii")))
            wanted = (hashlib.sha256(self.path.read_bytes()).hexdigest(), self._request())
        except (OSError, ValueError, TypeError):
            return None
        return record if (record.digest, record.request) == wanted else None

    def _request(self) -> str:
        facts = [*self.wanted[2:6], Path(self.authority).read_text(encoding="ascii")]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def due(self, now: float) -> float:
        """When it is to be renewed, in seconds from ``now``; at most 0 when that is now."""
        record = self.record
        if record is None or now < record.issued:
            return 0
        return record.issued + _RENEW_AT * (record.expires - record.issued) - now

    def fresh(self, now: float) -> bool:
        """Whether it is there and not past two thirds of its life."""
        record = self.record
        return record is not None and record.age(now) < _TOO_OLD_AT

    def store(self, issued: Issued, now: float) -> None:
        """Put a new one in the place of the old: at once, whole, and only if clients will accept it.

        Raises:
            IssuerError: clients that trust the environment's authority would refuse it.
            OSError: it cannot be written.
        """
        link = self.path.parent
        before = link.resolve().name
        made = link.with_name(str(time.time_ns()))
        (made / "public").mkdir(mode=0o700, parents=True)
        _write(made / self.path.name, issued.pem)
        try:
            accepted(made / self.path.name, self.authority)
        except (ssl.SSLError, OSError) as error:
            shutil.rmtree(made)
            why = getattr(error, "verify_message", None) or getattr(error, "reason", None) or error
            raise IssuerError(f"clients would refuse the certificate of {self.wanted.name}: {why}") from None
        digest = hashlib.sha256(issued.pem.encode()).hexdigest()
        record = Record(digest, self._request(), now, issued.expires)
        _write(made / _RECORD, json.dumps(record._asdict()))
        beside = link.with_name(f"{link.name}.new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(made.name)
        beside.replace(link)
        for old in link.parent.iterdir():
            # Who resolved the link just now may still read what was there before.
            if old.is_dir() and not old.is_symlink() and old.name not in (before, made.name):
                shutil.rmtree(old)
        self.renewals += 1
        self.unsettled = set(self.wanted.servers)

    def settle(self, server: Server, supervised: Supervisor) -> None:
        """See to it that a server which runs serves what is on disk; one that does not will read it then.

        Raises:
            ReloadError: it does not (yet).
        """
        try:
            if not running(supervised, server.name):
                self.unsettled.discard(server)
                return
        except SupervisorDown as error:
            raise ReloadError(f"{server.name}: {error}") from None
        told = False
        deadline = time.monotonic() + _SETTLE_SECONDS
        while (seen := self._seen(server)) != "":
            if not told:
                reload(server, supervised, self.authority, self.path)
                told = True
            elif time.monotonic() > deadline:
                raise ReloadError(f"{server.name} {seen}")
            else:
                time.sleep(_SETTLE_POLL)
        self.unsettled.discard(server)

    def _seen(self, server: Server) -> str:
        """What a client sees at a server that is wrong; empty when it is right.

        Raises:
            ReloadError: nothing listens yet. It must not be told anything then: a script that prepares a
                server's data ends at a signal.
        """
        try:
            shown = served(server, self.authority)
        except ssl.SSLError as error:
            return f"serves a certificate that clients refuse: {error}"
        except OSError as error:
            raise ReloadError(f"{server.name} does not answer: {error}") from None
        leaf = ssl.PEM_cert_to_DER_cert(_leaf(self.path.read_text(encoding="ascii")))
        return "" if shown == leaf else "still serves an older certificate"


class Keeper:
    """All certificates of an environment."""

    def __init__(self, issuer: Issuer, certificates: list[Certificate], supervised: Supervisor) -> None:
        self.issuer = issuer
        self.certificates = certificates
        self.failures = 0
        self._supervised = supervised
        self._complaints: dict[str, str] = {}

    def work(self, say: Say) -> bool:
        """Renew what is due and settle what is not settled; whether all of it was done."""
        due = [one for one in self.certificates if one.due(time.time()) <= 0]
        done = True
        if due:
            done = self._try("issuing", lambda: self._issue(due, say), say)
        for one in self.certificates:
            for server in sorted(one.unsettled):
                if one.path.exists():
                    done &= self._try(server.name, lambda o=one, s=server: o.settle(s, self._supervised), say)  # type: ignore[misc]
        return done

    def _issue(self, due: list[Certificate], say: Say) -> None:
        with self.issuer.session() as token:
            for one in due:
                wanted = one.wanted
                issued = self.issuer.issue(token, wanted.role, wanted.names, wanted.addresses, wanted.ttl)
                one.store(issued, time.time())
                say(f"{wanted.name}: a new certificate, until {_utc(issued.expires)}")

    def _try(self, what: str, act: Callable[[], None], say: Say) -> bool:
        """One line in the log for each change, not one for each attempt."""
        complaint = ""
        try:
            act()
        except (IssuerError, ReloadError) as error:
            complaint = str(error)
        except OSError as error:
            complaint = f"{error.filename}: {error.strerror}"
        if complaint:
            self.failures += 1
        if complaint != self._complaints.get(what, ""):
            say(complaint or f"{what}: works again")
            self._complaints[what] = complaint
        return not complaint

    def next(self) -> float:
        """Seconds until the next renewal, or until the clock is worth a look."""
        return max(0.0, min([_LONGEST_WAIT, *(one.due(time.time()) for one in self.certificates)]))

    def healthy(self) -> bool:
        """Whether every certificate is there and not past two thirds of its life."""
        return all(one.fresh(time.time()) for one in self.certificates)

    def metrics(self) -> str:
        """In Prometheus' text format; times in seconds since 1970."""
        lines = [f"renecinfra_certificate_failures_total {self.failures}"]
        for one in self.certificates:
            label = f'{{consumer="{one.wanted.name}"}}'
            record = one.record
            if record is not None:
                lines.append(f"renecinfra_certificate_issued_timestamp_seconds{label} {record.issued:.0f}")
                lines.append(f"renecinfra_certificate_expires_timestamp_seconds{label} {record.expires:.0f}")
            lines.append(f"renecinfra_certificate_renewals_total{label} {one.renewals}")
            lines.append(f"renecinfra_certificate_unsettled_servers{label} {len(one.unsettled)}")
        return "".join(f"{line}\n" for line in lines)


def load(home: Path) -> tuple[Keeper, int]:
    """What ``etc/certificates/certificates.json`` asks for, and the port to answer on.

    Raises:
        AgentError: it cannot be read.
    """
    path = home / "etc" / "certificates" / "certificates.json"
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AgentError(f"cannot read {path}: {error}") from None
    certificates = []
    for name, consumer in known["consumers"].items():
        servers = tuple(Server(**server) for server in consumer.pop("servers"))
        wanted = Wanted(name, Path(consumer.pop("path")), servers=servers, **consumer)
        certificates.append(Certificate(wanted, known["authority"]))
    return Keeper(Issuer(**known["issuer"]), certificates, supervisor(load_home(home))), known["port"]


def _leaf(pem: str) -> str:
    begin = pem.index("-----BEGIN CERTIFICATE-----")
    return pem[begin : pem.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")]


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _handler(keeper: Keeper) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = 404, ""
            if self.path == "/health":
                status = 200 if keeper.healthy() else 503
            elif self.path == "/metrics":
                status, body = 200, keeper.metrics()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode("ascii"))

        def log_message(self, *_: object) -> None:
            """Prometheus asks too often for a log."""

    return Handler


def main(arguments: list[str]) -> int:
    """Work until SIGTERM or SIGINT."""
    if len(arguments) != 1:
        print("usage: python -m renecinfra.agents.certificates HOME", file=sys.stderr)  # noqa: T201
        return 64

    def say(text: str) -> None:
        print(f"{_utc(time.time())} {text}", file=sys.stderr, flush=True)  # noqa: T201 - the log

    os.umask(0o077)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        keeper, port = load(Path(arguments[0]))
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(keeper))
    except (AgentError, OSError) as error:
        say(str(error))
        return 1
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2})
    thread.start()
    pause = _FIRST_PAUSE
    try:
        while not stop.is_set():
            done = keeper.work(say)
            stop.wait(keeper.next() if done else pause)
            pause = _FIRST_PAUSE if done else min(2 * pause, _LAST_PAUSE)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
