"""supervisord's XML-RPC over its unix socket, with no more imports than the answer needs.

``xmlrpc.client`` would do the same and costs 30 ms of the start of every service.
The interface: https://supervisord.org/api.html
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

# Faults of supervisor.xmlrpc.Faults that callers tell apart.
BAD_NAME = 10
NOT_RUNNING = 70
ALREADY_ADDED = 90


class SupervisorDown(Exception):  # noqa: N818 - a state that callers expect
    """Nothing answers on the socket."""


class SupervisorFault(Exception):  # noqa: N818 - supervisord's word
    """supervisord refused a call."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Supervisor:
    """One supervisord. Every call is a connection of its own, so it may be shared by threads."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self.path = path
        self.timeout = timeout

    def call(self, method: str, *arguments: str | bool) -> Any:
        """Call ``supervisor.<method>``.

        Raises:
            SupervisorDown: nothing answers, or not within the timeout.
            SupervisorFault: supervisord refuses.
        """
        body = _request(method, arguments)
        head = f"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.timeout)
                connection.connect(str(self.path))
                connection.sendall(head.encode() + body)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError as error:
            raise SupervisorDown(f"supervisord does not answer on {self.path}: {error}") from None
        head_text, _, content = answer.partition(b"\r\n\r\n")
        if not head_text.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")):
            raise SupervisorDown(f"supervisord answered {head_text[:60]!r} on {self.path}")
        return _answer(content)


def _request(method: str, arguments: tuple[str | bool, ...]) -> bytes:
    call = ElementTree.Element("methodCall")
    ElementTree.SubElement(call, "methodName").text = f"supervisor.{method}"
    params = ElementTree.SubElement(call, "params")
    for argument in arguments:
        value = ElementTree.SubElement(ElementTree.SubElement(params, "param"), "value")
        kind, text = ("boolean", str(int(argument))) if isinstance(argument, bool) else ("string", argument)
        ElementTree.SubElement(value, kind).text = text
    return ElementTree.tostring(call)


def _answer(content: bytes) -> Any:
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - from our own supervisord, over a 0700 socket
    except ElementTree.ParseError as error:
        raise SupervisorDown(f"supervisord's answer does not parse: {error}") from None
    fault = root.find("fault/value")
    if fault is not None:
        details = _decode(fault)
        raise SupervisorFault(details["faultCode"], details["faultString"])
    value = root.find("params/param/value")
    return None if value is None else _decode(value)


def _decode(value: ElementTree.Element) -> Any:
    if len(value) == 0:
        return value.text or ""
    kind = value[0]
    if kind.tag in ("int", "i4"):
        return int(kind.text or "0")
    if kind.tag == "boolean":
        return kind.text == "1"
    if kind.tag == "array":
        return [_decode(item) for item in kind.iterfind("data/value")]
    if kind.tag == "struct":
        return {member.findtext("name", ""): _decode(member[1]) for member in kind.iterfind("member")}
    return kind.text or ""
