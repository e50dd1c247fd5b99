"""What an environment on a cluster became without us: live objects against what releases installed."""

from __future__ import annotations

from collections.abc import Sequence

from renecinfra.errors import ToolError
from renecinfra.kubernetes import live
from renecinfra.kubernetes.installed import installed
from renecinfra.kubernetes.live import LiveDifference
from renecinfra.platforms.kubernetes import preflight
from renecinfra.provision.drift import Drift, DriftItem
from renecinfra.provision.kubernetes.session import ClusterSession

_PATHS_SHOWN = 5


def drift(session: ClusterSession, argv: Sequence[str]) -> Drift:
    """Look at every object of every release; changes nothing.

    Raises:
        ToolError: no release of the environment is installed.
        ClusterError: the cluster does not answer.
        LockedError: another run holds the environment.
    """
    with session.locked("drift", argv) as run, run.step("objects"):
        preflight.require_context(session.cluster)
        releases = session.environment.releases
        there = installed(session.cluster)
        if not any((one.namespace, one.name) in there for one in releases):
            raise ToolError(
                "not-up",
                f"{session.name} is not up, so nothing of it can have drifted",
                hint=f"run `renecinfra up {session.name}`",
            )
        with session.reporter.step("Comparing objects"):
            found = live.compare(session.cluster, releases)
    return Drift(session.name, tuple(item(one) for one in found), {})


def item(found: LiveDifference) -> DriftItem:
    """A difference as drift; the values are in neither."""
    if found.gone:
        return DriftItem("object", f"{found.release}: {found.object}", "is gone")
    shown = ", ".join(found.paths[:_PATHS_SHOWN])
    more = len(found.paths) - _PATHS_SHOWN
    seen = f"differs in {shown}{f' and {more} more' if more > 0 else ''}"
    return DriftItem("object", f"{found.release}: {found.object}", seen, found.who, found.when)
