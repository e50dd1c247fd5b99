"""Why pods do not run: read from their states and from events, with what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_PULL: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_CONFIG: Final = ("CreateContainerConfigError", "CreateContainerError")
_OOM: Final = "OOMKilled"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that keeps a pod from running. ``id`` is as an error's."""

    id: str
    where: str
    text: str
    hint: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def findings(pods: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """What is wrong, the most telling first; each once, however many pods have it."""
    seen: dict[tuple[str, str], Finding] = {}
    for finding in (*_of_events(events, {_name(pod) for pod in pods}), *_of_pods(pods, events)):
        seen.setdefault((finding.id, _owner(finding.where)), finding)
    order = (
        "cluster-quota",
        "cluster-security",
        "image-pull",
        "secret-missing",
        "unschedulable",
        "out-of-memory",
        "crash",
        "volume",
        "not-ready",
    )
    return sorted(seen.values(), key=lambda one: order.index(one.id))


def _of_pods(pods: Iterable[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for pod in pods:
        status, where = pod.get("status", {}), f"pod {_name(pod)}"
        for condition in status.get("conditions", []):
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                yield _unschedulable(where, str(condition.get("message", "")))
        states = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        for container in states:
            yield from _of_container(where, container, _unhealthy(events, _name(pod)))


def _of_container(where: str, container: Mapping[str, Any], probe: str) -> Iterator[Finding]:
    waiting = container.get("state", {}).get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    last = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated")
    image = container.get("image", "")
    if reason in _PULL:
        yield Finding(
            "image-pull", where, f"the image {image} cannot be pulled: {message or reason}", _pull(message)
        )
    elif reason in _CONFIG:
        hint = "is its secret in Vault, and does External Secrets say that it is synced?"
        yield Finding("secret-missing", where, message or reason, hint)
    elif last and last.get("reason") == _OOM:
        hint = "raise memory_limit of the workload in the profile"
        yield Finding(
            "out-of-memory", where, f"{container.get('name')} used more memory than its limit", hint
        )
    elif last and last.get("exitCode"):
        restarts = container.get("restartCount", 0)
        text = f"{container.get('name')} ended with exit code {last['exitCode']}, {restarts} restarts"
        yield Finding("crash", where, text, "read its log: `renecinfra logs ENV WORKLOAD`")
    elif not container.get("ready") and "running" in container.get("state", {}):
        text = f"{container.get('name')} runs and is not ready{': ' + probe if probe else ''}"
        hint = "it runs, but its probe fails: look at its log, and at what it depends on"
        yield Finding("not-ready", where, text, hint)


def _pull(message: str) -> str:
    if re.search(r"unauthorized|denied|authentication|forbidden", message, re.IGNORECASE):
        return "the registry wants a login: give the namespace's accounts an imagePullSecret"
    if re.search(r"not found|manifest unknown", message, re.IGNORECASE):
        return "there is no such image: check its name and digest, and that the build has pushed it"
    return "check the image's name, and the nodes' way to the registry"


def _unschedulable(where: str, message: str) -> Finding:
    hint = "add a node, or lower the requests of the workload in the profile"
    if "volume" in message or "persistentvolumeclaim" in message:
        hint = "check platform.storage_class, and that it has room in the node's zone"
    elif "taint" in message:
        hint = "the free nodes are tainted: take the taint away or add a node"
    elif "topology spread" in message or "anti-affinity" in message:
        hint = "there are too few nodes to keep replicas apart: add one"
    return Finding("unschedulable", where, f"no node takes it: {message}", hint)


def _of_events(events: Iterable[Mapping[str, Any]], pods: set[str]) -> Iterator[Finding]:
    for event in events:
        message, about = (
            str(event.get("message", "")),
            event.get("involvedObject") or event.get("regarding") or {},
        )
        where = f"{str(about.get('kind', '')).lower()} {about.get('name', '')}"
        if event.get("reason") == "FailedCreate" and "exceeded quota" in message:
            hint = "raise the ResourceQuota of the namespace, or lower replicas or resources in the profile"
            yield Finding("cluster-quota", where, _after(message, "exceeded quota"), hint)
        elif event.get("reason") == "FailedCreate" and "violates PodSecurity" in message:
            hint = "the charts follow the restricted policy; a command of the profile's own may not"
            yield Finding("cluster-security", where, _after(message, "violates PodSecurity"), hint)
        elif event.get("reason") in ("FailedMount", "FailedAttachVolume") and about.get("name") in pods:
            hint = "check the storage class, and that the secret or volume exists"
            yield Finding("volume", where, message, hint)


def _after(message: str, words: str) -> str:
    return words + message.partition(words)[2]


def _unhealthy(events: Sequence[Mapping[str, Any]], pod: str) -> str:
    """What the newest failed probe of a pod said."""
    about = [
        str(event.get("message", ""))
        for event in events
        if event.get("reason") == "Unhealthy" and (event.get("involvedObject") or {}).get("name") == pod
    ]
    return about[-1] if about else ""


def _name(pod: Mapping[str, Any]) -> str:
    return str(pod.get("metadata", {}).get("name", ""))


def _owner(where: str) -> str:
    """Pods of one Deployment have the same trouble: their names but for the last two parts."""
    return re.sub(r"(-[a-z0-9]{5,10})?-[a-z0-9]{5}$", "", where)
