"""The cluster of an environment in AWS, for commands that work on clusters: opened for the length of a block.

What Terraform made is read from its state, which takes no Terraform and no lock; access is by a kubeconfig
that is gone when the block ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from renecinfra.errors import ToolError
from renecinfra.kubernetes.catalogue import Release
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.places import Places
from renecinfra.kubernetes.tools import Target, find_tools
from renecinfra.kubernetes.versions import Versions
from renecinfra.platforms.aws.kubeconfig import kubeconfig
from renecinfra.platforms.aws.runs import StateRuns
from renecinfra.platforms.aws.state import StateStore
from renecinfra.platforms.helm_releases import HelmReleases
from renecinfra.platforms.kubernetes.environment import ClusterEnvironment
from renecinfra.provision.aws import bootstrapping
from renecinfra.provision.aws.session import AwsSession
from renecinfra.provision.kubernetes.session import ClusterSession
from renecinfra.provision.remote_journal import RunStore
from renecinfra.rendering import Bundle


@dataclass(frozen=True)
class EksEnvironment(ClusterEnvironment):
    """A profile on the cluster that its stack made; ``outputs`` are the stack's. Pure."""

    outputs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def releases(self) -> list[Release]:
        """Every release, in order."""
        return HelmReleases(self.workspace).releases(self.profile)

    def bundle(
        self,
        versions: Versions | None = None,
        secret_versions: Mapping[str, int] | None = None,
        places: Places | None = None,  # noqa: ARG002 - PostgreSQL is RDS's, and in no release
    ) -> Bundle:
        """Every release's values."""
        return HelmReleases(self.workspace).values(self.profile, self.outputs, versions, secret_versions)


@dataclass
class EksSession(ClusterSession):
    """One command's view of the cluster of an environment in AWS."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    kubeconfig: Path = Path()
    state: StateStore | None = None

    @cached_property
    def environment(self) -> ClusterEnvironment:
        """The environment on its platform."""
        return EksEnvironment(self.workspace, self.profile, self.outputs)

    @cached_property
    def cluster(self) -> Cluster:
        """The stack's cluster.

        Raises:
            ToolError: helm or kubectl is missing or too old.
        """
        target = Target(str(self.outputs["cluster"]["name"]), self.kubeconfig)
        return Cluster(find_tools(self.environ), target, self.environ, pass_fds=self.lock_descriptors)

    @cached_property
    def runs(self) -> RunStore:
        """Where everybody's runs are kept."""
        assert self.state is not None
        return StateRuns(self.state)

    @property
    def backing(self) -> Mapping[str, str]:
        """What beside the workloads has pods, with their labels."""
        return {"pooler": "app.kubernetes.io/component=pooler,app.kubernetes.io/part-of=renec"}


@contextmanager
def opened(session: AwsSession) -> Iterator[EksSession]:
    """The environment's cluster.

    Raises:
        ToolError: the environment is not up, or AWS refuses.
    """
    session.aws.require_account()
    bootstrapping.require(session)
    recorded = session.state.current().get("outputs", {})
    outputs = {name: one["value"] for name, one in recorded.items()}
    if "cluster" not in outputs:
        raise ToolError(
            "not-up",
            f"{session.name} is not up, so it has no cluster",
            hint=f"run `renecinfra up {session.name}`",
        )
    with kubeconfig(session.name, outputs["cluster"], session.workspace.root, session.overrides) as path:
        yield EksSession(
            session.workspace,
            session.loaded,
            session.reporter,
            outputs=outputs,
            kubeconfig=path,
            state=session.state,
        )
