"""What every command over an environment on an existing cluster starts from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from renecinfra.errors import ClusterError
from renecinfra.journal import Journal, Run
from renecinfra.kubernetes.catalogue import Release
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.packages import Packages
from renecinfra.kubernetes.places import Places
from renecinfra.kubernetes.releases import Settings
from renecinfra.kubernetes.tools import Target, find_tools
from renecinfra.kubernetes.versions import Versions
from renecinfra.locking import environment_lock
from renecinfra.platforms.kubernetes.environment import ClusterEnvironment
from renecinfra.platforms.kubernetes.runs import ClusterRuns
from renecinfra.profiles.loading import LoadedProfile
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform
from renecinfra.provision.remote_journal import RunStore, journaled
from renecinfra.redaction import redactor
from renecinfra.reporting import Reporter
from renecinfra.secrets.catalog import store_for
from renecinfra.secrets.generated import GeneratedStore
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.workspace import EnvironmentPaths, Workspace

_CACHE = "charts"


@dataclass
class ClusterSession:
    """One command's view of one environment. Parts are made when first needed."""

    workspace: Workspace
    loaded: LoadedProfile
    reporter: Reporter
    environ: Mapping[str, str] | None = None
    lock_descriptors: tuple[int, ...] = field(default=())

    @property
    def profile(self) -> Profile:
        """The profile after ``extends`` and overrides."""
        return self.loaded.profile

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.profile.environment

    @cached_property
    def paths(self) -> EnvironmentPaths:
        """Where the environment keeps its state."""
        return self.workspace.paths(self.name)

    @cached_property
    def environment(self) -> ClusterEnvironment:
        """The environment on its platform."""
        return ClusterEnvironment(self.workspace, self.profile)

    @cached_property
    def cluster(self) -> Cluster:
        """The profile's cluster, whatever the kubeconfig's current one is.

        Raises:
            ToolError: helm or kubectl is missing or too old.
        """
        platform = self.profile.platform
        assert isinstance(platform, KubernetesPlatform)
        environ = os.environ if self.environ is None else self.environ
        return Cluster(
            find_tools(environ), Target(platform.context), self.environ, pass_fds=self.lock_descriptors
        )

    @cached_property
    def packages(self) -> Packages:
        """The releases' charts."""
        cache = self.workspace.root / ".renecinfra" / _CACHE
        return Packages(self.cluster, self.workspace.root, cache, self.profile.releases.mirror)

    def settings(self, description: str) -> Settings:
        """How releases are applied."""
        releases, keep = self.profile.releases, self.profile.protection.keep_releases
        return Settings(int(releases.timeout.total_seconds()), max(2, keep), description)

    def versions(self) -> Versions:
        """What `deploy` has put in place, as the application's release says; nothing where there is none.

        Raises:
            ClusterError: the cluster does not answer.
        """
        return Versions.of_values(self._values(self.environment.application))

    def places(self) -> Places:
        """Which of PostgreSQL's clusters serves, as the release of the data says.

        Raises:
            ClusterError: the cluster does not answer.
        """
        return Places.of_values(self._values(self.environment.data), self.name)

    def _values(self, release: Release) -> Mapping[str, Any]:
        """A release's values; nothing where it is not installed."""
        try:
            return self.cluster.ask(self.cluster.helm.values(release.name, release.namespace)) or {}
        except ClusterError as error:
            if "release: not found" in " ".join((error.message, *error.details)):
                return {}
            raise

    def secrets(self) -> ResolvedSecrets:
        """Every secret of the environment, registered for redaction.

        Raises:
            SecretsError: one cannot be had.
        """
        store = store_for(self.profile, self.paths, self.workspace.root)
        try:
            resolved = store.resolve(self.environment.references())
        finally:
            if not isinstance(store, GeneratedStore):
                store.client.close()
        for secret in resolved.values():
            redactor.register(secret.value)
        return resolved

    @cached_property
    def runs(self) -> RunStore:
        """Where everybody's runs are kept."""
        return ClusterRuns(self.cluster, self.environment.namespace, self.name)

    @property
    def backing(self) -> Mapping[str, str]:
        """What beside the workloads has pods, with their labels: databases and what is before them."""
        return {
            "postgresql": "cnpg.io/cluster",
            "pooler": "cnpg.io/poolerName=renec-pooler",
            "redis-broker": "app.kubernetes.io/name=renec-redis-broker",
            "redis-cache": "app.kubernetes.io/name=renec-redis-cache",
        }

    @contextmanager
    def locked(self, command: str, argv: Sequence[str]) -> Iterator[Run]:
        """Hold the environment and journal the run until the block ends.

        The lock holds on this machine. Two machines are kept apart by Helm, whose releases know that another
        operation is under way.

        Raises:
            LockedError: another run holds it.
        """
        self.paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with environment_lock(self.paths.lock, command, note=self.reporter.note) as lock:
            self.lock_descriptors = (lock.descriptor,)
            with journaled(
                Journal(self.paths.journal),
                self.runs,
                self.reporter,
                command=command,
                argv=argv,
                profile=self.loaded.digest,
            ) as run:
                yield run
