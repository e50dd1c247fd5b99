"""What Helm would do in the cluster of an environment in AWS, where that can be seen from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from renecinfra.errors import ClusterError, ToolError
from renecinfra.kubernetes import releases
from renecinfra.kubernetes.releases import ReleasesPlan
from renecinfra.provision.aws import eks
from renecinfra.provision.aws.session import AwsSession

_UNSEEN: Final = ("cluster-tool-missing", "cluster-tool-old", "cluster-forbidden", "not-up")
"""Errors of this machine or of its rights; any other one after the cluster answered is the profile's."""


@dataclass(frozen=True, slots=True)
class ReleasesSeen:
    """The releases' plan; None where the cluster cannot be asked, and ``why`` says it."""

    plan: ReleasesPlan | None
    why: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing is known that would change."""
        return self.plan is None or self.plan.empty


def look(session: AwsSession) -> ReleasesSeen:
    """Compare the releases with the cluster, with what the stack's outputs are now. Changes nothing.

    Raises:
        ClusterError: a chart refuses its values, or cannot be had.
        SecretsError: the secrets' versions are not known.
    """
    try:
        with eks.opened(session) as opened, session.reporter.step("Comparing the releases"):
            try:
                opened.cluster.ask(opened.cluster.kubectl.version())
            except ClusterError as error:
                return ReleasesSeen(None, error.message)
            bundle = opened.environment.bundle(opened.versions(), session.secret_versions())
            made = releases.plan(opened.cluster, opened.packages, opened.environment.releases, bundle)
            return ReleasesSeen(made)
    except (ClusterError, ToolError) as error:
        if error.id in _UNSEEN:
            return ReleasesSeen(None, error.message)
        raise
