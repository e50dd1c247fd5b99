"""What an environment's releases would put into a cluster, rendered by Helm without asking one."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any, Final

from renecinfra import process
from renecinfra.errors import ToolError
from renecinfra.kubernetes import faults
from renecinfra.kubernetes.application import EDGE_PORT
from renecinfra.kubernetes.catalogue import Release
from renecinfra.kubernetes.helm import Helm
from renecinfra.kubernetes.tools import Target, find_helm
from renecinfra.platforms.helm_releases import HelmReleases
from renecinfra.platforms.kubernetes.environment import ClusterEnvironment
from renecinfra.profiles.aws import AwsPlatform
from renecinfra.profiles.model import Profile
from renecinfra.rendering import Bundle, RenderedFile
from renecinfra.workspace import Workspace

_SECONDS: Final = 60.0
_CACHE: Final = "charts"
# A cluster of one's own says its version when it is asked, which is not now.
_VERSION: Final = "1.33"


def manifests(workspace: Workspace, profile: Profile, skipped: MutableMapping[str, str]) -> Bundle:
    """The objects of each release by file, hooks among them; nothing where the platform has no cluster.

    Charts come from this machine alone: our own, a mirror's directory, those that `plan` has fetched. What is
    not there is said in ``skipped``. In AWS the addresses that only the stack knows are made up.

    Raises:
        ProfileError: a template does not render.
        ClusterError: a chart refuses its values.
    """
    if profile.platform.kind == "local":
        return {}
    try:
        helm = Helm(find_helm(os.environ), Target(""))
    except ToolError as error:
        skipped["releases"] = error.message
        return {}
    releases, values, version = _wanted(workspace, profile)
    found: dict[str, RenderedFile] = {}
    for release in releases:
        chart = _at_hand(release, workspace, profile)
        if chart is None:
            skipped[f"release {release.name}"] = f"the chart {release.chart.label} is not on this machine"
            continue
        argv = helm.template(release.name, [chart], release.namespace, kube_version=version, hooks=True)
        done = process.run(argv, input=values[release.values].text, timeout=_SECONDS, check=False)
        if done.returncode != 0:
            raise faults.explain(done.stderr or done.stdout, helm.target, f"helm template {release.name}")
        found[f"manifests/{release.name}.yaml"] = RenderedFile(done.stdout)
    return found


def _wanted(workspace: Workspace, profile: Profile) -> tuple[list[Release], Bundle, str]:
    if isinstance(profile.platform, AwsPlatform):
        made = HelmReleases(workspace)
        version = profile.platform.kubernetes_version
        return made.releases(profile), made.values(profile, _assumed(profile)), version
    environment = ClusterEnvironment(workspace, profile)
    return environment.releases, environment.bundle(), _VERSION


def _assumed(profile: Profile) -> dict[str, Any]:
    """Outputs of a stack that may not be there yet: no rule depends on an address."""
    group = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/edge/0"
    return {
        "edge": {"network_cidr": "10.0.0.0/16", "target_port": EDGE_PORT, "target_group_arn": group},
        "cache": {"addresses": {"broker": "broker.example", "cache": "cache.example"}},
        "database": {"address": "database.example"},
        "cluster": {"name": profile.environment},
    }


def _at_hand(release: Release, workspace: Workspace, profile: Profile) -> str | None:
    chart, mirror = release.chart, profile.releases.mirror
    if chart.local(mirror):
        try:
            return chart.argv(mirror, workspace.root)[0]
        except ToolError:
            return None
    kept = workspace.root / ".renecinfra" / _CACHE / f"{chart.label}.tgz"
    return str(kept) if kept.is_file() else None
