"""What tools print when they fail, as they really print it, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from renecinfra.kubernetes import diagnosis, faults
from renecinfra.kubernetes.tools import Target

TARGET = Target("renec-onprem")
CASES = [
    ('error: context "renec-onprem" does not exist', "cluster-context", "no context renec-onprem"),
    (
        "Error: Kubernetes cluster unreachable: the server has asked for the client to provide credentials",
        "cluster-credentials",
        "expired",
    ),
    (
        'Error from server (Forbidden): pods is forbidden: User "ci" cannot list resource "pods" in API '
        'group "" in the namespace "renec"',
        "cluster-forbidden",
        "ci may not list pods",
    ),
    (
        'Error: release renec failed: pods "a" is forbidden: exceeded quota: small, requested: cpu=2, '
        "used: cpu=3, limited: cpu=4",
        "cluster-quota",
        "cpu=2 asked for",
    ),
    (
        "Error: unable to build kubernetes objects from release manifest: resource mapping not found for "
        'name: "x" namespace: "" from "": no matches for kind "ScaledObject" in version "keda.sh/v1alpha1"',
        "cluster-crd",
        "ScaledObject (keda.sh/v1alpha1)",
    ),
    (
        "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
        "release-stuck",
        "under way",
    ),
    (
        "Error: values don't meet the specifications of the schema(s) in the following chart(s):\n"
        "renec-harvester:\n- at '/edge': missing property 'host'",
        "values-invalid",
        "schema",
    ),
    (
        'Error: looks like "https://x" is not a valid chart repository or cannot be reached: Get "x": '
        "dial tcp: lookup x: no such host",
        "chart-missing",
        "cannot be had",
    ),
    (
        'Error: chart "keda" version "2.20.2" not found in https://x repository',
        "chart-missing",
        "cannot be had",
    ),
    (
        "Error: UPGRADE FAILED: pre-upgrade hooks failed: 1 error occurred",
        "migrations-failed",
        "nothing of the new",
    ),
    (
        "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?",
        "cluster-unreachable",
        "no cluster answers",
    ),
    ("Error: UPGRADE FAILED: context deadline exceeded", "release-timeout", "in time"),
    (
        "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by "
        "unknown authority",
        "cluster-certificate",
        "signed by unknown authority",
    ),
    ('Error: failed calling webhook "webhook.cert-manager.io": x', "cluster-webhook", "does not answer"),
    ("Error: something nobody has seen", "cluster-refused", "failed"),
]


@pytest.mark.parametrize(("printed", "id_", "words"), CASES, ids=[case[1] for case in CASES])
def test_a_failure_is_named(printed: str, id_: str, words: str) -> None:
    error = faults.explain(printed, TARGET, "helm upgrade renec")
    assert (error.id, int(error.exit_code)) == (id_, 7)
    assert words in error.message
    assert error.hint
    assert error.details


def pod(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "api", "image": "i:1", "ready": False, "state": state, **more}]}


@pytest.mark.parametrize(
    ("status", "id_", "hint"),
    [
        (waiting("ImagePullBackOff", "manifest unknown"), "image-pull", "digest"),
        (waiting("ErrImagePull", "401 unauthorized"), "image-pull", "imagePullSecret"),
        (waiting("CreateContainerConfigError", 'secret "renec-api" not found'), "secret-missing", "Vault"),
        (waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1}}), "crash", "logs"),
        (
            waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            "out-of-memory",
            "memory_limit",
        ),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "3 node(s) had untolerated taint"}
                ]
            },
            "unschedulable",
            "taint",
        ),
    ],
)
def test_a_pods_trouble_is_named(status: dict[str, Any], id_: str, hint: str) -> None:
    (found,) = diagnosis.findings([pod("renec-api-blue-7d4b9c-abcde", **status)], [])
    assert found.id == id_
    assert hint in found.hint


def test_replicas_of_one_deployment_have_one_trouble() -> None:
    pods = [pod(f"renec-api-blue-7d4b9c6f5x-abcd{n}", **waiting("ImagePullBackOff")) for n in range(3)]
    assert len(diagnosis.findings(pods, [])) == 1


def test_what_only_events_tell() -> None:
    refused = {
        "reason": "FailedCreate",
        "message": 'Error creating: pods "a" is forbidden: exceeded quota: small, requested: cpu=1',
        "involvedObject": {"kind": "ReplicaSet", "name": "renec-api"},
    }
    unhealthy = {
        "reason": "Unhealthy",
        "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "involvedObject": {"kind": "Pod", "name": "a"},
    }
    runs = {"containerStatuses": [{"name": "api", "ready": False, "state": {"running": {}}}]}
    quota, probe = diagnosis.findings([pod("a", **runs)], [refused, unhealthy])
    assert (quota.id, probe.id) == ("cluster-quota", "not-ready")
    assert "statuscode: 503" in probe.text


def test_a_healthy_pod_has_none() -> None:
    fine = {"containerStatuses": [{"name": "api", "ready": True, "state": {"running": {}}}]}
    assert diagnosis.findings([pod("a", **fine)], []) == []
