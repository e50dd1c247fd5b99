"""The edge as the local platform runs it, in front of a small API of the test's own."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3

from renecinfra import tls
from renecinfra.platforms.local import edge
from renecinfra.profiles.workloads import Edge

pytestmark = pytest.mark.integration


class Api(BaseHTTPRequestHandler):
    """Answers with what it was asked; ``/api/slow`` waits until the test lets it go on."""

    protocol_version = "HTTP/1.1"
    gate = threading.Event()
    seen: list[str] = []

    def do_GET(self) -> None:
        type(self).seen.append(f"{self.server.server_address[1]} {self.command} {self.path}")
        if self.path == "/api/slow":
            self.gate.wait(20)
        if self.path == "/api/broken":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status = {"/api/missing": 404, "/api/sick": 503}.get(self.path, 200)
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        answer = {"path": self.path, "headers": dict(self.headers), "padding": "x" * 2000}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Powered-By", "test")
        self.send_header("X-Frame-Options", "ALLOWALL")
        if status == 503:
            self.send_header("Retry-After", "30")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        return


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


@contextlib.contextmanager
def api(platform: Any, *instances: int) -> Iterator[type[Api]]:
    handler = type("Handler", (Api,), {"gate": threading.Event(), "seen": []})
    servers = [Server(("127.0.0.1", platform.profile.local.port("api", n)), handler) for n in instances]
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    try:
        yield handler
    finally:
        handler.gate.set()
        for server in servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def served(platform: Any) -> Iterator[Any]:
    start(platform)
    yield platform


def start(platform: Any) -> None:
    platform.start(edge.NAME)
    platform.wait_for(edge.NAME, lambda: listens(platform.profile.local.port("edge")))


def listens(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextlib.contextmanager
def client(platform: Any) -> Iterator[Any]:
    with urllib3.HTTPSConnectionPool(
        "localhost",
        platform.profile.local.port("edge"),
        ca_certs=str(platform.host.paths.ca),
        timeout=10,
        retries=False,
        maxsize=8,
    ) as pool:
        yield pool


def get(platform: Any, path: str, **options: Any) -> Any:
    with client(platform) as pool:
        return pool.request(options.pop("method", "GET"), path, **options)


def test_nginx_finds_nothing_to_warn_of(platform: Any) -> None:
    service = platform.install(edge.NAME)
    user = platform.host.user
    switch = {"user": user.uid, "group": user.gid, "extra_groups": []} if user.switched else {}
    with (platform.host.paths.log / "test.log").open("w+") as log:
        os.chown(log.fileno(), user.uid, user.gid)
        done = subprocess.run([*service.command, "-t"], stdout=log, stderr=log, check=False, **switch)
        log.seek(0)
        said = log.read()
    # From nginx 1.25.1 on there is another way to say it, which Debian 12's nginx does not know.
    warned = [line for line in said.splitlines() if "[warn]" in line and "http2" not in line]
    assert (done.returncode, warned) == (0, []), said


def test_a_request_reaches_the_api_with_what_the_edge_knows(served: Any) -> None:
    with api(served, 0, 1):
        forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "X-Request-ID": "bad id\t"}
        answer = get(served, "/api/v1/ec-standards?q=est%C3%A1ndar", headers=forged)
    assert answer.status == 200
    data = answer.json()
    assert data["path"] == "/api/v1/ec-standards?q=est%C3%A1ndar"
    headers = {name.lower(): value for name, value in data["headers"].items()}
    port = served.profile.local.port("edge")
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-port"] == str(port)
    assert headers["host"] == f"localhost:{port}"
    assert len(headers["x-request-id"]) == 32
    assert answer.headers["X-Request-ID"] == headers["x-request-id"]


@pytest.mark.parametrize("path", ["/", "/health", "/nothing", "/api/thing", "/api/missing", "/metrics"])
def test_every_answer_has_the_headers_once_and_no_others(served: Any, path: str) -> None:
    with api(served, 0, 1):
        answer = get(served, path, headers={"X-Request-ID": "caller-1234"})
    for name, value in {
        "Strict-Transport-Security": "max-age=300",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "X-Request-ID": "caller-1234",
        "Server": "nginx",
    }.items():
        assert answer.headers.getlist(name) == [value]
    assert "X-Powered-By" not in answer.headers
    assert "Retry-After" not in answer.headers
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/nothing", "/status", "/.git/config"])
def test_what_is_not_public_is_not_there(served: Any, path: str) -> None:
    with api(served, 0, 1) as handler:
        answer = get(served, path)
        assert answer.status == 404
        assert answer.json()["error"] == {
            "status": 404,
            "title": "there is nothing here",
            "request": answer.headers["X-Request-ID"],
        }
        assert handler.seen == []


def test_an_error_of_the_application_passes_as_it_is(served: Any) -> None:
    with api(served, 0, 1):
        missing, sick = get(served, "/api/missing"), get(served, "/api/sick")
    assert (missing.status, missing.json()["path"]) == (404, "/api/missing")
    assert (sick.status, sick.headers.getlist("Retry-After")) == (503, ["30"])


def test_health_is_the_edges_and_readiness_the_applications(served: Any) -> None:
    assert get(served, "/health").json() == {"status": "ok"}
    assert get(served, "/health/ready").status == 502
    with api(served, 0, 1):
        assert get(served, "/health/ready").json()["path"] == "/health/ready"


def test_one_dead_api_is_not_noticed(served: Any) -> None:
    with api(served, 1):
        assert [get(served, "/api/thing").status for _ in range(6)] == [200] * 6
        assert get(served, "/api/thing", method="POST", body=b"{}").status == 200


def test_a_request_that_may_have_changed_something_is_not_sent_twice(served: Any) -> None:
    with api(served, 0, 1) as handler:
        assert get(served, "/api/broken", method="POST", body=b"{}").status == 502
        assert len(handler.seen) == 1
        handler.seen.clear()
        assert get(served, "/api/broken").status == 502
        assert len(handler.seen) == 2


def test_no_api_at_all_is_said_with_when_to_try_again(served: Any) -> None:
    answer = get(served, "/api/thing")
    assert (answer.status, answer.headers["Retry-After"]) == (502, "1")
    assert answer.json()["error"]["title"] == "the application did not answer properly"


def test_beyond_the_limit_the_answer_is_503_and_others_are_not_held_up(platform: Any) -> None:
    limited = platform.profile.edge.model_copy(update={"max_connections_per_api": 2})
    platform.change(edge=limited)
    start(platform)
    with api(platform, 0, 1) as handler, client(platform) as pool:
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda: statuses.append(pool.request("GET", "/api/slow").status))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        platform.wait_until(lambda: len(handler.seen) == 4)
        started = time.monotonic()
        answer = get(platform, "/api/thing")
        assert time.monotonic() - started < 1
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["error"] == {
            "status": 503,
            "title": "the application is busy or being restarted",
            "request": answer.headers["X-Request-ID"],
        }
        handler.gate.set()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 4
        assert get(platform, "/api/thing").status == 200


def test_a_slow_answer_is_a_504(platform: Any) -> None:
    platform.change(edge=Edge.model_validate({"upstream_timeout": "1s"}))
    start(platform)
    with api(platform, 0, 1) as handler:
        answer = get(platform, "/api/slow")
        assert (answer.status, answer.headers["Retry-After"]) == (504, "5")
        assert len(handler.seen) == 1


def test_a_body_beyond_the_limit_is_refused(served: Any) -> None:
    with api(served, 0, 1) as handler:
        answer = get(served, "/api/thing", method="POST", body=b"x" * (served.profile.edge.max_body + 1))
        assert (answer.status, handler.seen) == (413, [])
        assert answer.json()["error"]["title"] == "the request's body is too large"


def test_plain_http_is_sent_to_https_with_the_port(served: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.profile.local.port("edge_http"), timeout=5)
    connection.request("POST", "/api/thing?a=1", headers={"Host": "localhost:1"})
    answer = connection.getresponse()
    port = served.profile.local.port("edge")
    assert (answer.status, answer.headers["Location"]) == (308, f"https://localhost:{port}/api/thing?a=1")
    connection.close()


def test_a_host_that_is_not_served_is_neither_passed_on_nor_reflected(served: Any) -> None:
    with api(served, 0, 1) as handler:
        answer = get(served, "/api/thing", headers={"Host": "evil.example"})
        assert (answer.status, handler.seen) == (421, [])
    connection = http.client.HTTPConnection("127.0.0.1", served.profile.local.port("edge_http"), timeout=5)
    connection.request("GET", "/", headers={"Host": "evil.example"})
    plain = connection.getresponse()
    assert (plain.status, plain.headers["Location"]) == (421, None)
    connection.close()


def test_json_is_compressed_for_who_asks(served: Any) -> None:
    with api(served, 0, 1):
        answer = get(served, "/api/thing", headers={"Accept-Encoding": "gzip"}, decode_content=False)
        plain = get(served, "/api/thing")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.data))["path"] == "/api/thing"
    assert "Content-Encoding" not in plain.headers


def handshake(platform: Any, context: ssl.SSLContext) -> ssl.SSLSocket:
    connection = socket.create_connection(("127.0.0.1", platform.profile.local.port("edge")), timeout=5)
    return context.wrap_socket(connection, server_hostname="localhost")


def test_modern_tls_and_http2_only(served: Any) -> None:
    context = ssl.create_default_context(cafile=str(served.host.paths.ca))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with handshake(served, context) as connection:
        assert (connection.selected_alpn_protocol(), connection.version()) == ("h2", "TLSv1.3")
    old = ssl.create_default_context(cafile=str(served.host.paths.ca))
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        handshake(served, old)


def test_the_log_has_timings_and_no_query(served: Any) -> None:
    with api(served, 0, 1):
        get(served, "/api/thing?token=hush", headers={"Referer": "https://x.example/?token=hush"})
    served.wait_until(lambda: "/api/thing" in served.log(edge.NAME))
    text = served.log(edge.NAME)
    assert "hush" not in text
    (line,) = [json.loads(line) for line in text.splitlines() if '"/api/thing"' in line]
    assert (line["status"], line["method"], line["upstream_status"]) == (200, "GET", "200")
    assert line["seconds"] >= 0
    assert float(line["upstream_seconds"]) >= 0


def test_counts_are_on_a_port_of_their_own(served: Any) -> None:
    with urllib3.HTTPConnectionPool("127.0.0.1", served.profile.local.port("edge_status")) as pool:
        assert b"Active connections" in pool.request("GET", edge.STATUS_PATH, retries=False).data
        assert pool.request("GET", "/", retries=False).status == 404


def test_a_renewed_certificate_is_taken_without_a_restart(served: Any) -> None:
    before = served.service(edge.NAME)
    (served.host.paths.tls / tls.KEY).unlink()
    tls.ensure(served.host.paths.tls, served.profile.edge.host)
    after = served.install(edge.NAME)
    assert after.files == before.files
    assert after.reload_files != before.reload_files
    served.running[edge.NAME].send_signal(1)
    context = ssl.create_default_context(cafile=str(served.host.paths.ca))

    def presented() -> bool:
        with handshake(served, context) as connection:
            found = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
        return found == tls.certificate(served.host.paths.tls)

    served.wait_until(presented)
    assert served.running[edge.NAME].poll() is None


def test_a_stop_lets_requests_end(served: Any) -> None:
    with api(served, 0, 1) as handler:
        statuses: list[int] = []
        thread = threading.Thread(target=lambda: statuses.append(get(served, "/api/slow").status))
        thread.start()
        served.wait_until(lambda: len(handler.seen) == 1)
        threading.Timer(0.3, handler.gate.set).start()
        assert served.stop(edge.NAME) == 0
        thread.join()
    assert statuses == [200]


def test_nginx_writes_below_its_data_only(served: Any) -> None:
    names = {path.name for path in (served.host.paths.data / edge.NAME).iterdir()}
    assert names == {"nginx.pid", "client_body", "proxy", "fastcgi", "uwsgi", "scgi"}
