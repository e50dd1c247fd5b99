"""The supervised service ``backups``: takes backups unattended, beats, and says how recovery stands.

``python -m renecinfra.recovery.service RECOVERY_JSON PORT``, as the service user. ``/health`` answers once it
runs; whether backups are as they should be is for ``/metrics`` and its alerts to say: a restart mends no
repository.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from renecinfra.recovery.keeper import Keeper
from renecinfra.recovery.metrics import exposition
from renecinfra.recovery.protected import load

EX_USAGE: Final = 64
EX_CONFIG: Final = 78
_STOP_SECONDS: Final = 15.0
_LOG: Final = logging.getLogger("backups")


def main(arguments: list[str]) -> int:
    """Run until SIGTERM or SIGINT; ends what is under way first."""
    if len(arguments) != 2 or not arguments[1].isdecimal():
        print("usage: python -m renecinfra.recovery.service RECOVERY_JSON PORT", file=sys.stderr)  # noqa: T201
        return EX_USAGE
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        database = load(Path(arguments[0]))
    except (OSError, ValueError, TypeError) as error:
        _LOG.error("%s cannot be used: %s", arguments[0], error)
        return EX_CONFIG
    keeper = Keeper(database)
    server = _Server(int(arguments[1]), keeper)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    keeper.start()
    stop.wait()
    _LOG.info("stopping")
    keeper.stop()
    end_children(_STOP_SECONDS)
    server.shutdown()
    return 0


def end_children(seconds: float) -> None:
    """Have what this process started end: pgBackRest at SIGTERM gives up its lock, and goes on from there
    later."""
    deadline = time.monotonic() + seconds
    asked: set[int] = set()
    while (children := _children()) and time.monotonic() < deadline:
        for pid in children - asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        asked |= children
        time.sleep(0.05)


def _children() -> set[int]:
    """The processes that any thread of this one started and that have not ended."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in path.read_text(encoding="ascii").split()}
    return {pid for pid in found if not _is_zombie(pid)}


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, keeper: Keeper) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.keeper = keeper


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """``/health`` and ``/metrics``."""
        if self.path == "/health":
            self._answer(200, "text/plain; charset=utf-8", "ok\n")
        elif self.path == "/metrics":
            self._answer(200, "text/plain; version=0.0.4; charset=utf-8", self._metrics())
        else:
            self._answer(404, "text/plain; charset=utf-8", "there are /health and /metrics\n")

    def _metrics(self) -> str:
        keeper = self.server.keeper
        return exposition(keeper.progress(), keeper.seen())

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Requests are not logged."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
