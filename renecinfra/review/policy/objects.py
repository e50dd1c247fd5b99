"""What rendered objects and configuration tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from renecinfra.errors import Location
from renecinfra.rendering import Bundle
from renecinfra.review.policy.manifests import Manifest, manifests
from renecinfra.review.policy.profile import pinned
from renecinfra.review.policy.rules import Finding, finding
from renecinfra.review.showing import is_secret_name

Path = tuple[str | int, ...]
_TEMPLATES: Final[Mapping[str, Path]] = {
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "Pod": ("spec",),
}
_SERVING: Final = ("Deployment", "StatefulSet")
_ROLES: Final = ("Role", "ClusterRole")
_SSL_PROTOCOLS: Final = re.compile(r"^\s*ssl_protocols\s+([^;]+);", re.MULTILINE)
_REFERENCE: Final = re.compile(r"\$\([A-Za-z_][A-Za-z0-9_.-]*\)")
_OLD_PROTOCOLS: Final = frozenset({"SSLv2", "SSLv3", "TLSv1", "TLSv1.1"})


def check(bundle: Bundle) -> Iterator[Finding]:
    """Every violation in rendered files."""
    found = list(manifests(bundle))
    for one in found:
        yield from _pods(one)
        yield from _rights(one)
        yield from _reach(one)
        yield from _config(one)
    yield from _together(found)
    for path, file in sorted(bundle.items()):
        if path.endswith(".conf"):
            yield from _tls(path, file.text)


def count_pods(bundle: Bundle) -> int:
    """How many objects there are that run containers."""
    return sum(one.kind in _TEMPLATES for one in manifests(bundle))


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _told(rule: str, one: Manifest, path: Path, problem: str, evidence: object = None) -> Finding:
    return finding(rule, one.label, f"{one.label}: {problem}", location=one.at(path), evidence=evidence)


def _pods(one: Manifest) -> Iterator[Finding]:
    base = _TEMPLATES.get(one.kind)
    pod = _at(one.data, base) if base is not None else None
    if base is None or not isinstance(pod, Mapping):
        return
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name) is True:
            yield _told("privileges", one, (*base, name), f"{name} is true")
    for group in ("initContainers", "containers"):
        for index, container in enumerate(pod.get(group) or ()):
            yield from _container(one, (*base, group, index), container, pod)


def _container(
    one: Manifest, path: Path, container: Mapping[str, Any], pod: Mapping[str, Any]
) -> Iterator[Finding]:
    name = f"container {container.get('name', '?')}"
    image = str(container.get("image", ""))
    if not pinned(image):
        yield _told("image-pinned", one, (*path, "image"), f"{name} has an image without a version", image)
    resources = container.get("resources") or {}
    for kind, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if not (resources.get(kind) or {}).get(what):
            yield _told("resources", one, (*path, "resources", kind), f"{name} has no {kind}.{what}")
    serves = one.kind in _SERVING and path[-2] == "containers" and container.get("ports")
    if serves and not container.get("readinessProbe"):
        yield _told("probes", one, path, f"{name} listens and has no readinessProbe")
    yield from _privileges(one, path, container, pod)
    for index, variable in enumerate(container.get("env") or ()):
        # Kubernetes puts other variables in for $(NAME): what is made of them alone holds nothing itself.
        literal = _REFERENCE.sub("", str(variable.get("value") or ""))
        if any(map(str.isalnum, literal)) and is_secret_name(str(variable.get("name", ""))):
            where = (*path, "env", index)
            yield _told("plain-secret", one, where, f"{name} has {variable['name']} as a plain value")


def _privileges(
    one: Manifest, path: Path, container: Mapping[str, Any], pod: Mapping[str, Any]
) -> Iterator[Finding]:
    name = f"container {container.get('name', '?')}"
    own, shared = container.get("securityContext") or {}, pod.get("securityContext") or {}
    where = (*path, "securityContext")
    if own.get("privileged") is True:
        yield _told("privileges", one, where, f"{name} is privileged")
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield _told("privileges", one, where, f"{name} may run as root: runAsNonRoot is not true")
    if own.get("allowPrivilegeEscalation") is not False:
        yield _told(
            "privileges", one, where, f"{name} may gain privileges: allowPrivilegeEscalation is not false"
        )
    if "ALL" not in ((own.get("capabilities") or {}).get("drop") or ()):
        yield _told("privileges", one, where, f"{name} keeps capabilities: drop has no ALL")


def _rights(one: Manifest) -> Iterator[Finding]:
    if one.kind in _ROLES:
        for index, rule in enumerate(one.data.get("rules") or ()):
            if "*" in (rule.get("verbs") or ()) or "*" in (rule.get("resources") or ()):
                yield _told("least-privilege", one, ("rules", index), "it allows * and not what is needed")
    if one.kind == "ClusterRoleBinding" and _at(one.data, ("roleRef", "name")) == "cluster-admin":
        yield _told("least-privilege", one, ("roleRef",), "it gives cluster-admin")


def _reach(one: Manifest) -> Iterator[Finding]:
    spec = one.data.get("spec") or {}
    if one.kind == "Service" and spec.get("type") in ("LoadBalancer", "NodePort"):
        name = str(_at(one.data, ("metadata", "name")) or "")
        if "edge" not in name and not spec.get("loadBalancerSourceRanges"):
            yield _told("public-service", one, ("spec", "type"), f"it is a {spec['type']} open to everybody")
    if one.kind == "Ingress" and not spec.get("tls"):
        yield _told("encryption-in-transit", one, ("spec",), "it has no tls")


def _config(one: Manifest) -> Iterator[Finding]:
    if one.kind == "ConfigMap":
        for key, value in (one.data.get("data") or {}).items():
            if value and is_secret_name(str(key)):
                yield _told("plain-secret", one, ("data", key), f"{key} looks like a secret")
            elif str(key).endswith(".conf"):
                yield from _tls(one.path, str(value), one.at(("data", key)))
    if one.kind == "Secret":
        for group in ("data", "stringData"):
            for key in one.data.get(group) or {}:
                yield _told("plain-secret", one, (group, key), f"{key} is rendered with its value")


def _tls(path: str, text: str, at: Location | None = None) -> Iterator[Finding]:
    for match in _SSL_PROTOCOLS.finditer(text):
        old = sorted(_OLD_PROTOCOLS & set(match[1].split()))
        if old:
            line = text.count("\n", 0, match.start(1)) + 1
            # In a block scalar the text begins on the line after its key.
            where = Location(path, line if at is None else at.line + line, 1)
            yield finding("tls-version", path, f"{path}: ssl_protocols has {', '.join(old)}", location=where)


def _together(found: Sequence[Manifest]) -> Iterator[Finding]:
    """What an object says of another."""
    budgets = [one for one in found if one.kind == "PodDisruptionBudget"]
    scaled = {
        (one.namespace, _at(one.data, ("spec", "scaleTargetRef", "name")))
        for one in found
        if one.kind in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    policed = {one.namespace for one in found if one.kind == "NetworkPolicy"}
    for one in found:
        if one.kind not in _SERVING:
            continue
        name = _at(one.data, ("metadata", "name"))
        if one.namespace not in policed:
            yield _told(
                "network-policy", one, (), f"namespace {one.namespace or 'default'} has no NetworkPolicy"
            )
        replicas = _at(one.data, ("spec", "replicas"))
        several = (one.namespace, name) in scaled or (isinstance(replicas, int) and replicas > 1)
        if not several:
            continue
        if not any(_selects(budget, one) for budget in budgets):
            yield _told("disruption", one, (), "no PodDisruptionBudget covers it")
        pod = _at(one.data, ("spec", "template", "spec")) or {}
        if not pod.get("topologySpreadConstraints") and not _at(pod, ("affinity", "podAntiAffinity")):
            yield _told(
                "spread", one, ("spec", "template", "spec"), "nothing keeps its replicas on different nodes"
            )


def _selects(budget: Manifest, one: Manifest) -> bool:
    labels = _at(one.data, ("spec", "template", "metadata", "labels")) or {}
    wanted = _at(budget.data, ("spec", "selector", "matchLabels")) or {}
    return budget.namespace == one.namespace and wanted.items() <= labels.items()
