"""Who holds a port, from /proc."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from renecinfra.agents import processes
from renecinfra.errors import ToolError
from renecinfra.services.ports import holders, require_free
from renecinfra.workspace import EnvironmentPaths

LISTEN = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(1000)"
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def listener(port: int, environ: dict[str, str], **how: int) -> Iterator[int]:
    started = subprocess.Popen(["/usr/bin/python3", "-I", "-S", "-c", LISTEN, str(port)], env=environ, **how)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 10
        while port not in holders([port]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield started.pid
    finally:
        started.kill()
        started.wait()


def paths(tmp_path: Path) -> EnvironmentPaths:
    return EnvironmentPaths("local", tmp_path / "state", tmp_path / "home")


def test_a_free_port(tmp_path: Path) -> None:
    port = free_port()
    assert holders([port]) == {}
    require_free({"edge": port}, paths(tmp_path))


def test_a_port_of_a_stranger(tmp_path: Path) -> None:
    port, second = free_port(), free_port()
    with listener(port, {}) as pid, closing(socket.create_server(("127.0.0.1", second))):
        holder = holders([port])[port]
        assert (holder.pid, holder.port, holder.service) == (pid, port, None)
        with pytest.raises(ToolError) as caught:
            require_free({"edge": port, "api-1": second, "free": free_port()}, paths(tmp_path))
        text = "\n".join([caught.value.message, *caught.value.details])
        assert caught.value.id == "port-taken"
        assert f"port {port} of edge is taken" in text
        assert f"port {second} of api-1 is taken" in text
        assert f"pid {pid} (python3)" in text
        assert f"pid {os.getpid()}" in text
        assert "--set platform.port_base=" in (caught.value.hint or "")


def test_a_port_of_our_own(tmp_path: Path) -> None:
    port = free_port()
    with listener(port, {processes.MARKER: f"{tmp_path}/home/edge"}):
        require_free({"edge": port}, paths(tmp_path))
        with pytest.raises(ToolError, match=rf"which is {tmp_path}/home/edge"):
            require_free({"edge": port}, paths(tmp_path / "other"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_port_of_another_user(tmp_path: Path) -> None:
    port = free_port()
    with listener(port, {}, user=65534) as pid, pytest.raises(ToolError) as caught:
        require_free({"edge": port}, paths(tmp_path))
    assert f"pid {pid} of user nobody (python3)" in caught.value.message


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_listeners_that_keep_us_from_ours(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        open_socket = socket.create_server((address, 0), family=family, dualstack_ipv6=":" in address)
    except OSError as error:
        pytest.skip(f"no {address} here: {error}")
    with open_socket:
        port = open_socket.getsockname()[1]
        assert holders([port])[port].pid == os.getpid()


def test_listeners_that_do_not() -> None:
    with socket.create_server(("127.0.0.2", 0)) as elsewhere:
        assert holders([elsewhere.getsockname()[1]]) == {}


def test_a_connection_is_no_listener() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as connection,
    ):
        assert holders([connection.getsockname()[1]]) == {}


def test_arguments_of_others_are_not_shown(tmp_path: Path) -> None:
    port = free_port()
    with listener(port, {}), pytest.raises(ToolError) as caught:
        require_free({"edge": port}, paths(tmp_path))
    assert "create_server" not in caught.value.message
