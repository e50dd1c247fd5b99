"""Where metrics go when a service has several processes.

A process that RENEC_METRICS_DIR names a directory for shares its metrics through files there, one
directory per owner (the service's main process). It has to be prepared before ``prometheus_client`` is
imported, which decides at import. Without it, a process has its own registry.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

VARIABLE = "RENEC_METRICS_DIR"
_SHARED = "PROMETHEUS_MULTIPROC_DIR"


def share(owner: int) -> None:
    """Use ``owner``'s directory and remove those of earlier owners, whose processes are gone."""
    base = os.environ.get(VARIABLE)
    if not base:
        return
    directory = Path(base)
    directory.mkdir(parents=True, exist_ok=True)
    for other in directory.iterdir():
        if other.name != str(owner):
            shutil.rmtree(other, ignore_errors=True)
    own = directory / str(owner)
    own.mkdir(exist_ok=True)
    os.environ[_SHARED] = str(own)


def exposition() -> tuple[bytes, str]:
    """The metrics of all of the service's processes as Prometheus reads them, and their content type."""
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    directory = os.environ.get(_SHARED)
    if not directory:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    forget_dead(Path(directory))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


def forget_dead(directory: Path) -> None:
    """Drop the live gauges of processes that are gone, who cannot do so when they are killed."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if not Path(f"/proc/{pid}").exists():
            file.unlink(missing_ok=True)


def serve(port: int) -> None:
    """Serve ``/metrics`` on 127.0.0.1 in a thread."""
    from threading import Thread
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    class Quiet(WSGIRequestHandler):
        """Does not log requests."""

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            del format, args

    server = WSGIServer(("127.0.0.1", port), Quiet)
    server.set_app(_application)
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def _application(environ: dict[str, object], start_response: object) -> list[bytes]:
    assert callable(start_response)
    if environ["PATH_INFO"] != "/metrics":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"not found\n"]
    body, content_type = exposition()
    start_response("200 OK", [("Content-Type", content_type)])
    return [body]
