"""`logs` over a cluster: the lines of every pod of a workload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from renecinfra.errors import UsageError
from renecinfra.platforms.kubernetes import preflight
from renecinfra.provision.kubernetes.session import ClusterSession

_WORKLOADS: Final = ("api", "ui", "worker", "beat", "migrations", "flower")


def logs(
    session: ClusterSession, workload: str, show: Callable[[str], None], *, follow: bool, lines: int
) -> None:
    """Hand on the lines of a workload's pods; with ``follow`` until it is interrupted.

    Raises:
        UsageError: there is no such workload.
        ClusterError: the cluster does not answer.
    """
    workloads = session.profile.workloads
    known = ["edge", *(name for name in _WORKLOADS if getattr(workloads, name).enabled), *session.backing]
    if workload not in known:
        raise UsageError(
            "workload-unknown",
            f"{session.name} has no workload {workload}",
            hint=f"workloads: {', '.join(known)}",
        )
    cluster = session.cluster
    preflight.require_context(cluster)
    label = f"app.kubernetes.io/component={workload},app.kubernetes.io/part-of=renec"
    selector = session.backing.get(workload, label)
    argv = cluster.kubectl.logs(selector, session.environment.namespace, lines=lines, follow=follow)
    if follow:
        cluster.change(argv, on_line=show)
    else:
        for line in cluster.read(argv).splitlines():
            show(line)
