"""What Helm says of the releases that are there, and of one that an interrupted Helm left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from renecinfra.errors import ClusterError
from renecinfra.kubernetes.cluster import Cluster

_PENDING: Final = ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling")


@dataclass(frozen=True, slots=True)
class Installed:
    """A release as Helm lists it."""

    name: str
    namespace: str
    revision: int
    status: str
    chart: str

    @property
    def stuck(self) -> bool:
        """Whether Helm thinks that an operation is under way. We hold the lock, so none of ours is."""
        return self.status in _PENDING

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "name": self.name,
            "namespace": self.namespace,
            "revision": self.revision,
            "status": self.status,
            "chart": self.chart,
        }


@dataclass(frozen=True, slots=True)
class Revision:
    """One entry of a release's history."""

    number: int
    status: str
    chart: str
    description: str
    updated: str

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "revision": self.number,
            "status": self.status,
            "chart": self.chart,
            "description": self.description,
            "updated": self.updated,
        }


def installed(cluster: Cluster) -> dict[tuple[str, str], Installed]:
    """Every release by namespace and name.

    Raises:
        ClusterError: the cluster does not answer.
    """
    found = cluster.ask(cluster.helm.releases()) or []
    return {
        (one["namespace"], one["name"]): Installed(
            one["name"], one["namespace"], int(one["revision"]), one["status"], one["chart"]
        )
        for one in found
    }


def history(cluster: Cluster, name: str, namespace: str) -> list[Revision]:
    """A release's revisions, the oldest first.

    Raises:
        ClusterError: there is no such release, or no answer.
    """
    return [
        Revision(
            int(one["revision"]),
            one["status"],
            one["chart"],
            one.get("description", ""),
            str(one.get("updated", "")),
        )
        for one in cluster.ask(cluster.helm.history(name, namespace)) or []
    ]


@dataclass(frozen=True, slots=True)
class Repair:
    """How a stuck release becomes one that can be worked with; ``revision`` 0 means by taking it away."""

    release: Installed
    revision: int

    @property
    def text(self) -> str:
        """What is done, for the plan."""
        one = self.release
        why = f"{one.name} is {one.status}: a Helm was killed while it worked"
        if self.revision:
            return f"{why}; it is brought back to revision {self.revision}, then upgraded"
        return f"{why} on its first installation; what there is of it is taken away, then it is installed"


def repair_of(cluster: Cluster, release: Installed) -> Repair:
    """The way out: back to the newest revision that once was whole, or away with it where there is none.

    Raises:
        ClusterError: the history cannot be read.
    """
    if release.status == "uninstalling":
        return Repair(release, 0)
    whole = [
        one.number
        for one in history(cluster, release.name, release.namespace)
        if one.status in ("deployed", "superseded")
    ]
    return Repair(release, max(whole, default=0))


def carry_out(cluster: Cluster, repair: Repair, *, timeout: int) -> None:
    """Repair a stuck release.

    Raises:
        ClusterError: Helm refuses, or what it was brought back to does not become ready either.
    """
    one = repair.release
    if repair.revision:
        argv = cluster.helm.rollback(one.name, repair.revision, one.namespace, timeout=timeout, hooks=False)
    else:
        argv = cluster.helm.uninstall(one.name, one.namespace, timeout=timeout)
    try:
        cluster.change(argv)
    except ClusterError as error:
        raise cluster.explained(error, one.namespace) from None
