"""What a cluster's controllers do, as far as a Helm that waits can see: states of workloads, pods and events.

What becomes of a pod follows from its image: one whose name has ``missing`` in it cannot be pulled,
``huge`` fits on no node, ``crash`` ends at once, ``sick`` runs and never is ready. All others are ready
after a moment.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

SAID = {
    "restore-check": "version\t16.4\nrecovery\tf\ncontents\t3|120\n0\tt\n",
    "database-login": "done",
}
"""What a job's pods say at their end, by the component that they are labelled as: nothing runs in them."""
BEHAVIOURS = ("missing", "huge", "crash", "sick")


def behaviour(template: dict[str, Any]) -> str | None:
    """What is wrong with a pod of this template, if anything."""
    images = [one["image"] for one in template["spec"]["containers"]]
    return next((word for word in BEHAVIOURS for image in images if word in image), None)


def settled(kind: str, one: dict[str, Any]) -> dict[str, Any] | None:
    """The status that an object of a kind comes to; None where nothing becomes of it."""
    generation = one["metadata"]["generation"]
    if kind in ("Deployment", "StatefulSet"):
        return _workload(one, generation)
    if kind == "Job":
        bad = behaviour(one["spec"]["template"])
        done = {"type": "Failed" if bad else "Complete", "status": "True"}
        reason = {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
        return {
            **({"failed": 1} if bad else {"succeeded": 1}),
            "conditions": [done | (reason if bad else {})],
        }
    if kind == "PodDisruptionBudget":
        return {
            "observedGeneration": generation,
            "currentHealthy": 1,
            "desiredHealthy": 1,
            "disruptionsAllowed": 1,
            "expectedPods": 1,
        }
    if kind == "CustomResourceDefinition":
        names = one["spec"]["names"]
        conditions = [{"type": name, "status": "True"} for name in ("NamesAccepted", "Established")]
        return {"acceptedNames": names, "conditions": conditions}
    if kind == "Cluster":
        count = one["spec"]["instances"]
        ready = [{"type": "Ready", "status": "True"}]
        primary = {"currentPrimary": f"{one['metadata']['name']}-1", "phase": "Cluster in healthy state"}
        return {"instances": count, "readyInstances": count, "conditions": ready, **primary}
    if kind in ("Certificate", "ExternalSecret", "SecretStore", "Issuer"):
        ready = [{"type": "Ready", "status": "True", "observedGeneration": generation}]
        until = {"notAfter": "2099-01-01T00:00:00Z"} if kind == "Certificate" else {}
        return {"conditions": ready, **until}
    if kind == "HorizontalPodAutoscaler":
        active = [{"type": name, "status": "True"} for name in ("AbleToScale", "ScalingActive")]
        return {"currentReplicas": 1, "desiredReplicas": 1, "conditions": active}
    if kind == "Service" and one["spec"].get("type") == "LoadBalancer":
        return {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}}
    return None


def _workload(one: dict[str, Any], generation: int) -> dict[str, Any]:
    wanted = one["spec"].get("replicas", 1)
    bad = behaviour(one["spec"]["template"])
    ready = 0 if bad else wanted
    revision = hashlib.sha256(json.dumps(one["spec"]["template"], sort_keys=True).encode()).hexdigest()[:10]
    progressing = "ReplicaSetUpdated" if bad else "NewReplicaSetAvailable"
    return {
        "observedGeneration": generation,
        "replicas": wanted,
        "updatedReplicas": wanted,
        "currentReplicas": wanted,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": wanted - ready,
        "currentRevision": revision,
        "updateRevision": revision,
        "conditions": [
            {"type": "Available", "status": "False" if bad else "True", "reason": "Minimum"},
            {"type": "Progressing", "status": "True", "reason": progressing},
        ],
    }


def replica_set(one: dict[str, Any]) -> dict[str, Any]:
    """A Deployment's newest; Helm 3 waits for its pods."""
    name, spec = one["metadata"]["name"], one["spec"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "controller": True}
    metadata = {
        "name": f"{name}-7d4b9c",
        "labels": spec["template"].get("metadata", {}).get("labels", {}),
        "ownerReferences": [{**owner, "uid": one["metadata"]["uid"]}],
        "owner": f"deployments/{name}",
    }
    ready = {"replicas": one["status"]["replicas"], "readyReplicas": one["status"]["readyReplicas"]}
    ready["observedGeneration"] = 1  # it is made anew each time
    wanted = {key: spec[key] for key in ("selector", "template")}
    return {"metadata": metadata, "spec": {**wanted, "replicas": spec.get("replicas", 1)}, "status": ready}


def pods(kind: str, one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A workload's pods, one for each replica."""
    template = one["spec"]["template"]
    bad, name = behaviour(template), one["metadata"]["name"]
    count = one["spec"].get("replicas", 1) if kind != "Job" else 1
    for number in range(count):
        suffix = f"{number}" if kind == "StatefulSet" else f"7d4b9c{number}f5x-abcd{number}"
        metadata = {
            **template.get("metadata", {}),
            "name": f"{name}-{suffix}",
            "namespace": one["metadata"]["namespace"],
        }
        metadata["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        yield {
            "metadata": metadata,
            "spec": {**template["spec"], "nodeName": "" if bad == "huge" else f"node-{number % 3 + 1}"},
            "status": _pod_status(template, bad) if kind != "Job" or bad else _ended(template),
        }


def _ended(template: dict[str, Any]) -> dict[str, Any]:
    component = template["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
    state = {"terminated": {"exitCode": 0, "reason": "Completed", "message": SAID.get(component, "")}}
    containers = [
        {"name": one["name"], "image": one["image"], "ready": False, "restartCount": 0, "state": state}
        for one in template["spec"]["containers"]
    ]
    return {"phase": "Succeeded", "containerStatuses": containers}


def _pod_status(template: dict[str, Any], bad: str | None) -> dict[str, Any]:
    if bad == "huge":
        message = "0/3 nodes are available: 3 Insufficient memory."
        reason = {"reason": "Unschedulable", "message": message}
        return {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", **reason}]}
    state: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    last: dict[str, Any] = {}
    if bad == "missing":
        message = "rpc error: code = NotFound desc = manifest unknown: not found"
        state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    elif bad == "crash":
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}}
        last = {"terminated": {"exitCode": 3, "reason": "Error"}}
    containers = [
        {
            "name": one["name"],
            "image": one["image"],
            "ready": bad is None,
            "restartCount": 4 if bad == "crash" else 0,
            "state": state,
            "lastState": last,
        }
        for one in template["spec"]["containers"]
    ]
    ready = {"type": "Ready", "status": "False" if bad else "True"}
    phase = "Pending" if bad == "missing" else "Running"
    return {"phase": phase, "conditions": [ready], "containerStatuses": containers}
