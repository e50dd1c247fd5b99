"""What the tests make of a chart: its objects, whether Kubernetes takes them, and whether they may be so."""

from __future__ import annotations

import functools
import gzip
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "templates" / "charts"
VERSIONS = ("1.28", "1.33", "1.37")
SCHEMAS = "RENECINFRA_CRD_SCHEMAS"
PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


def template(
    tools: Path, chart: Path, values: Path, *, name: str = "renec", kube: str = "1.33"
) -> list[dict[str, Any]]:
    """A chart's objects, hooks among them."""
    argv = [str(tools / "helm"), "template", name, str(chart), "--namespace", "renec"]
    argv += ["--values", str(values), "--kube-version", kube]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one]


@functools.cache
def custom_schemas() -> dict[str, Any]:
    """Schemas of custom resources, where the environment names a file of them; else none."""
    place = os.environ.get(SCHEMAS)
    if not place:
        return {}
    with gzip.open(place, "rt", encoding="utf-8") as stream:
        schemas: dict[str, Any] = json.load(stream)
    return schemas


def without_nulls(value: Any) -> Any:
    """As an API server sees it: a null is nothing."""
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    return value


def problems_of_form(document: dict[str, Any], version: str) -> list[str]:
    """What an API server of ``version`` would refuse, as far as schemas say it."""
    document = without_nulls(document)
    schema = custom_schemas().get(f"{document['apiVersion']}/{document['kind']}")
    if schema is not None:
        return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]
    if is_custom(document):
        return []
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error.message)]
    return []


def is_custom(document: dict[str, Any]) -> bool:
    """Whether Kubernetes itself does not know the kind."""
    group = document["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def pod_spec(document: dict[str, Any]) -> dict[str, Any] | None:
    """Of a workload, what its pods are like."""
    if document["kind"] in PODS:
        found: dict[str, Any] = document["spec"]["template"]["spec"]
        return found
    return None


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All of a pod's containers."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def problems_of_policy(documents: Iterable[dict[str, Any]]) -> list[str]:
    """Pod security "restricted", pinned images, requests and limits, budgets, and a default deny."""
    documents = list(documents)
    found: list[str] = []
    budgets = [
        one["spec"]["selector"]["matchLabels"] for one in documents if one["kind"] == "PodDisruptionBudget"
    ]
    for one in documents:
        spec = pod_spec(one)
        if spec is None:
            continue
        where = f"{one['kind']}/{one['metadata']['name']}"
        found += [f"{where}: {text}" for text in _pod(spec)]
        labels = one["spec"]["template"]["metadata"]["labels"]
        if one["kind"] in ("Deployment", "StatefulSet") and not any(
            selector.items() <= labels.items() for selector in budgets
        ):
            found.append(f"{where}: no disruption budget")
        policies = [p for p in documents if p["kind"] == "NetworkPolicy"]
        if not any(_selects(policy, labels) for policy in policies):
            found.append(f"{where}: no network policy of its own")
    return found


def _selects(policy: dict[str, Any], labels: dict[str, str]) -> bool:
    selector = policy["spec"]["podSelector"].get("matchLabels", {})
    return bool(selector) and selector.items() <= labels.items()


def _pod(spec: dict[str, Any]) -> Iterable[str]:
    for security in (
        {**spec.get("securityContext", {}), **c.get("securityContext", {})} for c in containers(spec)
    ):
        if security.get("runAsNonRoot") is not True:
            yield "may run as root"
        if security.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "no seccomp profile"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is on"
    if spec.get("automountServiceAccountToken") is not False:
        yield "mounts a token"
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= {"emptyDir", "configMap", "secret", "persistentVolumeClaim", "projected"}:
            yield f"volume {volume['name']} is of a kind that is not allowed"
    for container in containers(spec):
        yield from (f"{container['name']}: {text}" for text in _container(container))


def _container(container: dict[str, Any]) -> Iterable[str]:
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "may escalate"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "its root can be written to"
    if security.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "keeps capabilities"
    image = container["image"]
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest"):
        yield f"{image} is not pinned"
    for kind in ("requests", "limits"):
        given = container.get("resources", {}).get(kind, {})
        if not {"cpu", "memory"} <= set(given):
            yield f"no {kind}"
