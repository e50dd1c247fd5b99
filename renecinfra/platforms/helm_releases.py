"""The releases of an environment whose cluster is AWS's: what Terraform made, made into values.

The same charts, in the same order and by the same code as on a cluster of one's own; the databases and the
load balancer are elsewhere, and their addresses are outputs of the stack.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from renecinfra import rendering
from renecinfra.errors import ClusterError
from renecinfra.kubernetes import catalogue, releases
from renecinfra.kubernetes.application import EDGE_PORT
from renecinfra.kubernetes.backends import Backends, Store
from renecinfra.kubernetes.catalogue import Release, Rendering
from renecinfra.kubernetes.charts import THIRD_PARTY
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.installed import installed
from renecinfra.kubernetes.packages import Packages
from renecinfra.kubernetes.releases import ReleasesPlan, Settings
from renecinfra.kubernetes.tools import Target, find_tools
from renecinfra.kubernetes.versions import Versions
from renecinfra.platforms.database_login import Administrator, Login, ensure
from renecinfra.platforms.kubernetes.alerts import alert_objects
from renecinfra.platforms.kubernetes.environment import ClusterEnvironment
from renecinfra.profiles.model import Profile
from renecinfra.rendering import Bundle, Renderer
from renecinfra.reporting import Reporter
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.workspace import Workspace

_SYSTEM: Final = "kube-system"
STORAGE_CLASS: Final = "gp3"
"""What the charts' values name on AWS."""
_EXTRA: Final = ("aws-load-balancer-controller", "cluster-autoscaler")
_REMOVE_SECONDS: Final = 300


class Context(Protocol):
    """What the releases are deployed with; ``outputs`` are the stack's."""

    @property
    def profile(self) -> Profile:
        """The profile."""
        ...

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The stack's outputs."""
        ...

    @property
    def secrets(self) -> ResolvedSecrets:
        """The environment's secrets."""
        ...

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig with one context."""
        ...

    @property
    def reporter(self) -> Reporter:
        """Who is told."""
        ...

    @property
    def administrator(self) -> Administrator | None:
        """Who may make roles in the database; None where nothing is deployed."""
        ...


def backends(outputs: Mapping[str, Any]) -> Backends:
    """Where the databases are; PostgreSQL behind a pooler of the application's release."""
    inside = [{"ipBlock": {"cidr": outputs["edge"]["network_cidr"]}}]
    pooler = [{"podSelector": {"matchLabels": {"app.kubernetes.io/component": "pooler"}}}]
    addresses = outputs["cache"]["addresses"]
    return Backends(
        Store("renec-pooler", 5432, pooler),
        Store(addresses["broker"], 6379, inside, tls=True),
        Store(addresses["cache"], 6379, inside, tls=True),
        server=Store(outputs["database"]["address"], 5432, inside),
        proxies=(outputs["edge"]["network_cidr"],),
    )


def storage_class(outputs: Mapping[str, Any]) -> str:
    """The class of the releases' volumes as JSON: EKS brings none; encrypted with the environment's key."""
    key = outputs["cluster"]["volume_key_arn"]
    return json.dumps(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "ebs.csi.aws.com",
            "parameters": {"type": "gp3", "encrypted": "true", "kmsKeyId": key},
            # A volume is made in the zone where its pod is.
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
            "reclaimPolicy": "Delete",
        }
    )


@dataclass(frozen=True, slots=True)
class HelmReleases:
    """Plans, applies and removes the releases. Every method is safe to repeat after it was cut off."""

    workspace: Workspace

    def planned(self, context: Context) -> tuple[Cluster, Bundle, ReleasesPlan]:
        """What would change, with what it takes to do it.

        Raises:
            ClusterError: the cluster does not answer, or the stack serves the edge on another port.
        """
        cluster, wanted = self.cluster(context), self.releases(context.profile)
        bundle = self._bundle(context, cluster)
        packages = Packages(
            cluster,
            self.workspace.root,
            self.workspace.root / ".renecinfra" / "charts",
            context.profile.releases.mirror,
        )
        return cluster, bundle, releases.plan(cluster, packages, wanted, bundle)

    def apply(self, context: Context) -> None:
        """Bring the releases to the profile and wait until they are ready.

        Raises:
            ClusterError: one did not become ready and was rolled back.
        """
        profile = context.profile
        cluster, bundle, plan = self.planned(context)
        environment = ClusterEnvironment(self.workspace, profile)
        build = self.workspace.paths(profile.environment).build
        rendering.write(bundle, build)
        cluster.apply(storage_class(context.outputs))
        cluster.apply(environment.namespace_object())
        secrets = environment.secret_objects(context.secrets)
        if secrets is not None:
            cluster.apply(secrets, environment.namespace)
        self._login(context, cluster)
        settings = Settings(
            int(profile.releases.timeout.total_seconds()),
            max(2, profile.protection.keep_releases),
            "renecinfra up",
        )
        releases.apply(cluster, plan, build, settings=settings, reporter=context.reporter)

    def _login(self, context: Context, cluster: Cluster) -> None:
        """Before the migrations of a first installation, which log in as the application does."""
        server = backends(context.outputs).server
        assert server is not None
        if context.administrator is None:
            return
        with context.reporter.progress("Looking at the application's login in the database") as progress:
            login = Login.of(context.profile, server.host, context.secrets)
            ensure(
                cluster, login, context.administrator, server.peers, lambda text: progress.advance(0, text)
            )

    def remove(self, context: Context) -> None:
        """Take the releases away, and the volumes that they made.

        Raises:
            ClusterError: one cannot be taken away.
        """
        cluster = self.cluster(context)
        there = installed(cluster)
        mine = [one for one in self.releases(context.profile) if (one.namespace, one.name) in there]
        for one in reversed(mine):
            with context.reporter.step(f"Removing {one.name}"):
                cluster.change(cluster.helm.uninstall(one.name, one.namespace, timeout=_REMOVE_SECONDS))
        for namespace in dict.fromkeys(one.namespace for one in mine):
            claims = cluster.objects("persistentvolumeclaims", namespace)
            names = tuple(one["metadata"]["name"] for one in claims)
            if names:
                cluster.change(cluster.kubectl.delete("persistentvolumeclaims", names, namespace))

    def cluster(self, context: Context) -> Cluster:
        """The cluster of a context.

        Raises:
            ClusterError: its kubeconfig is not one of ours.
            ToolError: helm or kubectl is missing or too old.
        """
        tools = find_tools(os.environ)
        probe = Cluster(tools, Target("", context.kubeconfig))
        contexts = probe.read(probe.kubectl.contexts()).split()
        if len(contexts) != 1:
            raise ClusterError(
                "cluster-context",
                f"the stack's kubeconfig has {len(contexts)} contexts",
                hint="run `up` again, which makes it anew",
            )
        return Cluster(tools, Target(contexts[0], context.kubeconfig))

    def releases(self, profile: Profile) -> list[Release]:
        """Every release, in order."""
        extra = [
            Release(name, _SYSTEM, THIRD_PARTY[name], f"{catalogue.DIRECTORY}/{name}.yaml")
            for name in _EXTRA
            if name not in profile.releases.provided
        ]
        return catalogue.releases(profile, self.workspace.templates, extra=extra)

    def _bundle(self, context: Context, cluster: Cluster) -> Bundle:
        versions = self._versions(context.profile, cluster)
        secrets = {reference: secret.version for reference, secret in context.secrets.items()}
        return self.values(context.profile, context.outputs, versions, secrets)

    def values(
        self,
        profile: Profile,
        outputs: Mapping[str, Any],
        versions: Versions | None = None,
        secret_versions: Mapping[str, int] | None = None,
    ) -> Bundle:
        """Every release's values.

        Raises:
            ClusterError: the stack serves the edge on another port.
            ProfileError: a template does not render.
        """
        renderer = Renderer(self.workspace.templates)
        if outputs["edge"]["target_port"] != EDGE_PORT:
            raise ClusterError(
                "edge-port",
                f"the load balancer looks for the edge on port {outputs['edge']['target_port']}, "
                f"and it serves on {EDGE_PORT}",
                hint="bring the stack's edge.target_port to it",
            )
        files = catalogue.bundle(
            profile,
            Rendering(
                renderer,
                self.workspace.root,
                backends(outputs),
                versions or Versions(),
                secret_versions or {},
                target_group=outputs["edge"]["target_group_arn"],
                objects=alert_objects(profile, renderer),
            ),
        )
        more = {
            f"{catalogue.DIRECTORY}/{name}.yaml": renderer.file(
                f"helm/{name}.yaml.j2",
                f"{name}.yaml",
                {"profile": profile, "cluster": outputs["cluster"]["name"]},
            )
            for name in _EXTRA
        }
        return {**files, **more}

    def _versions(self, profile: Profile, cluster: Cluster) -> Versions:
        release = self.releases(profile)[-1]
        if (release.namespace, release.name) not in installed(cluster):
            return Versions()
        values = cluster.ask(cluster.helm.values(release.name, release.namespace))
        return Versions.of_values(values or {})
