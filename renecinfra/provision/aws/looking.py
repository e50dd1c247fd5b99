"""`status` in AWS: what AWS says of its parts, and its cluster of what runs there, where it can be asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from renecinfra.errors import ClusterError, ToolError
from renecinfra.platforms.aws.status import AwsStatus, read_status
from renecinfra.platforms.kubernetes import status
from renecinfra.platforms.kubernetes.status import ClusterStatus
from renecinfra.provision.aws import eks
from renecinfra.provision.aws.session import AwsSession


@dataclass(frozen=True, slots=True)
class AwsSeen:
    """Both; ``cluster`` is None where it could not be asked, and ``why`` says it."""

    parts: AwsStatus
    cluster: ClusterStatus | None
    why: str

    @property
    def ok(self) -> bool:
        """Whether all that was seen is well."""
        return self.parts.ok and (self.cluster is None or self.cluster.ok)

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            **self.parts.document(),
            "ok": self.ok,
            "cluster": None if self.cluster is None else self.cluster.document(),
            "cluster_skipped": self.why or None,
        }


def look(session: AwsSession) -> AwsSeen:
    """Look at everything, side by side.

    Raises:
        ToolError: AWS cannot be asked at all, or it is the wrong account.
    """
    session.aws.require_account()
    with ThreadPoolExecutor(1, thread_name_prefix="cluster") as pool:
        asked = pool.submit(_cluster, session)
        parts = read_status(session.profile, session.aws)
        cluster, why = asked.result()
    return AwsSeen(parts, cluster, why)


def _cluster(session: AwsSession) -> tuple[ClusterStatus | None, str]:
    try:
        with eks.opened(session) as opened:
            environment = opened.environment
            seen = status.read(opened.cluster, opened.profile, environment.releases, environment.namespace)
    except (ClusterError, ToolError) as error:
        return None, error.message
    return seen, ""
