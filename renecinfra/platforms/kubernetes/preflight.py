"""Whether an environment can run on a cluster: everything looked at, before anything is changed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from renecinfra.errors import ClusterError
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform

ENVIRONMENT_LABEL: Final = "renec.io/environment"
"""On the namespace: whose it is."""
_SKEW_SECONDS: Final = 60.0
# What the charts make, each by the verb that says most.
_NEEDED: Final = (
    *(("create", f"{one}") for one in ("secrets", "configmaps", "services", "serviceaccounts")),
    ("create", "deployments.apps"),
    ("create", "statefulsets.apps"),
    ("create", "jobs.batch"),
    ("create", "networkpolicies.networking.k8s.io"),
    ("create", "poddisruptionbudgets.policy"),
    ("create", "horizontalpodautoscalers.autoscaling"),
    ("create", "namespaces"),
    ("create", "customresourcedefinitions.apiextensions.k8s.io"),
    ("create", "clusterroles.rbac.authorization.k8s.io"),
    ("create", "priorityclasses.scheduling.k8s.io"),
    ("list", "pods"),
    ("list", "events"),
    ("get", "services/proxy"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``hint`` says what to do where it is not ``ok``."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


def require_context(cluster: Cluster) -> None:
    """Refuse a context that the kubeconfig does not have, before anything else is asked of it.

    The profile names the cluster. The kubeconfig's current context is never used: it may be any.

    Raises:
        ClusterError: there is none of that name.
    """
    contexts = cluster.read(cluster.kubectl.contexts()).split()
    if cluster.target.context not in contexts:
        raise ClusterError(
            "cluster-context",
            f"the kubeconfig does not have the profile's context, {cluster.target.context}",
            hint=f"contexts: {', '.join(contexts) or 'none'}; KUBECONFIG names another file",
        )


def examine(cluster: Cluster, profile: Profile) -> list[Finding]:
    """Every finding. Takes some requests, several at the same time.

    Raises:
        ClusterError: the cluster does not answer, or not to us.
    """
    require_context(cluster)
    platform = profile.platform
    assert isinstance(platform, KubernetesPlatform)
    server = cluster.ask(cluster.kubectl.version())["serverVersion"]["gitVersion"]
    checks: list[Callable[[], Finding]] = [
        lambda: _version(server, platform),
        lambda: _nodes(cluster, platform),
        lambda: _storage(cluster, platform),
        lambda: _load_balancer(cluster, platform),
        lambda: _clock(cluster),
        lambda: _namespace(cluster, profile, platform),
        lambda: _permissions(cluster, platform),
    ]
    with ThreadPoolExecutor(len(checks), thread_name_prefix="preflight") as pool:
        return list(pool.map(lambda check: check(), checks))


def require(findings: list[Finding]) -> None:
    """Refuse a cluster that does not do.

    Raises:
        ClusterError: naming what is wrong.
    """
    wrong = [one for one in findings if not one.ok]
    if wrong:
        raise ClusterError(
            "cluster-unfit",
            f"{wrong[0].name}: {wrong[0].detail}",
            hint=wrong[0].hint,
            details=tuple(f"{one.name}: {one.detail} ({one.hint})" for one in wrong[1:]),
        )


def _version(server: str, platform: KubernetesPlatform) -> Finding:
    found = tuple(int(part) for part in re.findall(r"\d+", server)[:2])
    wanted = tuple(int(part) for part in platform.version_min.split("."))
    hint = f"upgrade the cluster to {platform.version_min} or newer"
    return Finding("version", found >= wanted, f"the server is {server}", hint)


def _nodes(cluster: Cluster, platform: KubernetesPlatform) -> Finding:
    nodes = cluster.objects("nodes", None)
    ready = [one for one in nodes if _is_ready(one) and not one.get("spec", {}).get("unschedulable")]
    hint = f"platform.nodes_min asks for {platform.nodes_min}: add nodes, or mend those that are not ready"
    detail = f"{len(ready)} of {len(nodes)} are ready and take pods"
    return Finding("nodes", len(ready) >= platform.nodes_min, detail, hint)


def _is_ready(one: dict[str, Any]) -> bool:
    conditions = one.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _storage(cluster: Cluster, platform: KubernetesPlatform) -> Finding:
    names = [one["metadata"]["name"] for one in cluster.objects("storageclasses", None)]
    hint = f"storage classes: {', '.join(names) or 'none'}; platform.storage_class names one"
    ok = platform.storage_class in names
    return Finding(
        "storage", ok, f"storage class {platform.storage_class} is {'' if ok else 'not '}there", hint
    )


def _load_balancer(cluster: Cluster, platform: KubernetesPlatform) -> Finding:
    if platform.exposure.kind == "node-port":
        return Finding("load balancer", True, "none is needed: the edge is on a port of every node")
    groups = cluster.read(cluster.kubectl.api_versions()).split()
    if any(group.startswith("metallb.io/") for group in groups):
        return Finding("load balancer", True, "MetalLB is installed")
    balanced = [
        one for one in cluster.objects("services", None) if one.get("spec", {}).get("type") == "LoadBalancer"
    ]
    served = [one for one in balanced if one.get("status", {}).get("loadBalancer", {}).get("ingress")]
    if served:
        return Finding("load balancer", True, f"{served[0]['metadata']['name']} has an address")
    hint = "install MetalLB, or set platform.exposure.kind to node-port"
    return Finding("load balancer", False, "nothing gives addresses to Services of type LoadBalancer", hint)


def _clock(cluster: Cluster) -> Finding:
    """Certificates and tokens are wrong when clocks differ; nodes renew their leases every ten seconds."""
    times = [
        datetime.fromisoformat(renewed).timestamp()
        for one in cluster.objects("leases", "kube-node-lease")
        if (renewed := one.get("spec", {}).get("renewTime"))
    ]
    if not times:
        return Finding("clock", True, "the nodes' leases cannot be seen, so it is not compared")
    skew = time.time() - max(times)
    hint = "set this machine's clock (timedatectl set-ntp true), or the nodes'"
    return Finding("clock", abs(skew) <= _SKEW_SECONDS, f"{skew:+.0f} s from the newest of the nodes'", hint)


def _namespace(cluster: Cluster, profile: Profile, platform: KubernetesPlatform) -> Finding:
    """The namespace of another environment is not ours to change."""
    for one in cluster.objects("namespaces", None):
        if one["metadata"]["name"] == platform.namespace:
            owner = one["metadata"].get("labels", {}).get(ENVIRONMENT_LABEL)
            ok = owner in (None, profile.environment)
            hint = f"is platform.context right? Or give {profile.environment} a platform.namespace of its own"
            whose = f"is of the environment {owner}" if owner else "is there"
            return Finding("namespace", ok, f"{platform.namespace} {whose}", hint)
    return Finding("namespace", True, f"{platform.namespace} will be made")


def _permissions(cluster: Cluster, platform: KubernetesPlatform) -> Finding:
    with ThreadPoolExecutor(4, thread_name_prefix="can-i") as pool:
        refused = list(filter(None, pool.map(lambda one: _refusal(cluster, platform, *one), _NEEDED)))
    hint = "have a cluster administrator grant them"
    detail = f"not allowed: {', '.join(refused)}" if refused else f"all {len(_NEEDED)} that are needed"
    return Finding("permissions", not refused, detail, hint)


def _refusal(cluster: Cluster, platform: KubernetesPlatform, verb: str, resource: str) -> str:
    allowed = cluster.allows(cluster.kubectl.can_i(verb, resource, platform.namespace))
    return "" if allowed else f"{verb} {resource}"
