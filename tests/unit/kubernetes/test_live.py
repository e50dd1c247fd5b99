"""Live objects against what a chart said: what Kubernetes writes otherwise is no drift, and a change is."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from renecinfra.kubernetes import live
from renecinfra.kubernetes.catalogue import Chart, Release

WANTED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "api", "labels": {"app": "api"}, "annotations": {}},
    "spec": {
        "replicas": 2,
        "paused": False,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "api",
                        "image": "api@sha256:1",
                        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}},
                        "ports": [{"containerPort": 8000}],
                        "command": ["run", "it"],
                    },
                    {"name": "agent", "image": "agent@sha256:2"},
                ],
                "tolerations": [],
            }
        },
    },
}


def as_kept() -> dict[str, Any]:
    """The same as a cluster keeps it: defaults, other forms of quantities, another order, its own fields."""
    found = copy.deepcopy(WANTED)
    found["metadata"] |= {"uid": "1", "managedFields": [], "annotations": {"deployment.revision": "3"}}
    del found["spec"]["paused"]
    del found["spec"]["template"]["spec"]["tolerations"]
    containers = found["spec"]["template"]["spec"]["containers"]
    containers[0]["resources"]["limits"] = {"cpu": "1", "memory": "1Gi"}
    containers[0]["ports"][0]["protocol"] = "TCP"
    containers.reverse()
    found["status"] = {"readyReplicas": 2}
    return found


def changed(found: dict[str, Any]) -> tuple[str, ...]:
    release = Release("renec", "renec", Chart("renec-harvester", "1.0.0", "charts"), "values.yaml")
    differences = list(live._differences(release, WANTED, found))
    return differences[0].paths if differences else ()


def test_what_a_cluster_writes_in_its_own_way_is_no_drift():
    assert changed(as_kept()) == ()


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("spec.replicas", 3, "spec.replicas"),
        ("metadata.labels.app", "other", "metadata.labels.app"),
        (
            "spec.template.spec.containers.1.image",
            "api@sha256:9",
            "spec.template.spec.containers[api].image",
        ),
        (
            "spec.template.spec.containers.1.resources.limits.memory",
            "2Gi",
            "spec.template.spec.containers[api].resources.limits.memory",
        ),
        ("spec.template.spec.containers.1.command", ["run"], "spec.template.spec.containers[api].command"),
        ("spec.template.spec.containers.1.name", "renamed", "spec.template.spec.containers[api]"),
        ("spec.template.spec", "nonsense", "spec.template.spec"),
    ],
)
def test_a_change_is_told_by_its_path(path: str, value: Any, told: str):
    found = as_kept()
    *parents, last = path.split(".")
    at: Any = found
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at[part]
    at[last] = value
    assert changed(found) == (told,)


def test_who_wrote_last_is_told_and_we_are_not_a_suspect():
    found = as_kept()
    found["spec"]["replicas"] = 9
    found["metadata"]["managedFields"] = [
        {"manager": "helm", "time": "2026-11-26T12:00:00Z"},
        {"manager": "kubectl-edit", "time": "2026-11-26T11:00:00Z"},
        {"manager": "kubectl-scale", "time": "2026-11-26T10:00:00Z"},
        {"manager": "kube-controller-manager", "time": "2026-11-26T12:30:00Z", "subresource": "status"},
    ]
    release = Release("renec", "renec", Chart("renec-harvester", "1.0.0", "charts"), "values.yaml")
    (difference,) = live._differences(release, WANTED, found)
    assert (difference.who, difference.when) == ("kubectl-edit", "2026-11-26T11:00:00Z")
    (gone,) = live._differences(release, WANTED, None)
    assert gone.gone


def test_a_secrets_values_are_compared_and_never_part_of_what_is_told():
    wanted = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "b25l"}, "stringData": {"x": "y"}}
    found = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "dHdv", "x": "eQ=="}}
    release = Release("renec", "renec", Chart("renec-harvester", "1.0.0", "charts"), "values.yaml")
    (difference,) = live._differences(release, wanted, found)
    assert difference.paths == ("data.key",)
    assert "dHdv" not in repr(difference)
    assert "b25l" not in repr(difference)


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("0.5", "500m", True),
        ("1000m", 1, True),
        ("1024Mi", "1Gi", True),
        ("1G", "1000M", True),
        ("1G", "1Gi", False),
        (True, "true", False),
        ("5m", "5m0s", False),
        ("latest", "1", False),
    ],
)
def test_quantities(wanted: object, found: object, same: bool):
    assert live.same(wanted, found) is same
