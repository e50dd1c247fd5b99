"""The XML-RPC client, against answers as xmlrpc.client writes them."""

from __future__ import annotations

import socket
import threading
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from renecinfra.agents.rpc import Supervisor, SupervisorDown, SupervisorFault


@contextmanager
def supervisord(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    seen: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                received = b""
                while b"</methodCall>" not in received:
                    received += connection.recv(4096)
                seen.append(received)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield seen
        thread.join(5)


def ok(value: Any) -> bytes:
    return b"HTTP/1.0 200 OK\r\n\r\n" + xmlrpc.client.dumps((value,), methodresponse=True).encode()


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        0,
        -7,
        "",
        "a <b> & ñ",
        [],
        [[["api-1"], [], ["gone"]]],
        {"pid": 7, "name": "x", "on": True},
    ],
)
def test_values(tmp_path: Path, value: Any) -> None:
    with supervisord(tmp_path / "s", ok(value)):
        assert Supervisor(tmp_path / "s").call("getState") == value


def test_the_request_is_what_xmlrpc_client_understands(tmp_path: Path) -> None:
    with supervisord(tmp_path / "s", ok(1)) as seen:
        Supervisor(tmp_path / "s").call("startProcess", "a <&> ñ", False)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert xmlrpc.client.loads(body) == (("a <&> ñ", False), "supervisor.startProcess")
    assert f"Content-Length: {len(body)}".encode() in head


def test_a_fault(tmp_path: Path) -> None:
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(10, "BAD_NAME: x"), methodresponse=True)
    answer = b"HTTP/1.0 200 OK\r\n\r\n" + fault.encode()
    with supervisord(tmp_path / "s", answer), pytest.raises(SupervisorFault, match="BAD_NAME: x") as caught:
        Supervisor(tmp_path / "s").call("stopProcess", "x")
    assert caught.value.code == 10


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 500 No\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n<oops"])
def test_an_answer_that_is_none(tmp_path: Path, answer: bytes) -> None:
    with supervisord(tmp_path / "s", answer), pytest.raises(SupervisorDown):
        Supervisor(tmp_path / "s").call("getState")


def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(SupervisorDown, match="does not answer"):
        Supervisor(tmp_path / "s").call("getState")


def test_silence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(SupervisorDown, match="timed out"):
            Supervisor(tmp_path / "s", timeout=0.1).call("getState")
