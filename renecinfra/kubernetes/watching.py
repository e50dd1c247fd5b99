"""Looks at a namespace's pods while Helm waits for them: what is wrong is said at once, and remembered."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.diagnosis import Finding
from renecinfra.reporting import Reporter

_EVERY_SECONDS: Final = 2.0
# Pods that have just started are not ready for good reasons.
_QUIET: Final = ("not-ready",)


class Watch:
    """From entry to exit, in a thread of its own. ``seen`` is what was wrong when something last was."""

    def __init__(self, cluster: Cluster, namespace: str, reporter: Reporter) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._reporter = reporter
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._said: set[str] = set()
        self.seen: Sequence[Finding] = ()

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(_EVERY_SECONDS)

    def _look(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS / 2):
            found = self._cluster.diagnose(self._namespace)
            if found:
                self.seen = found
            for one in found:
                if one.id not in _QUIET and str(one) not in self._said:
                    self._said.add(str(one))
                    self._reporter.warn(str(one))
            self._ended.wait(_EVERY_SECONDS / 2)
