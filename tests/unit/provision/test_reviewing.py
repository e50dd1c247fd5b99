"""A review of releases: each object by its kind, and never a Secret's value."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from renecinfra.kubernetes import diffing
from renecinfra.provision.reviewing import review_releases
from renecinfra.workspace import Workspace

ROOT = Path(__file__).parents[3]
PRESENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: renec}
spec: {replicas: 3}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: renec}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: renec}
stringData: {key: old-value}
"""
WANTED = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: renec}
spec: {replicas: 2}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: renec}
stringData: {key: new-value}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: renec}
"""


def release(name: str, changes: Any, *, reason: str = "", action: str = "upgrade") -> Any:
    return SimpleNamespace(
        release=SimpleNamespace(name=name), changes=changes, repair=None, reason=reason, action=action
    )


def test_releases_are_graded_object_by_object() -> None:
    changes = diffing.changes(diffing.objects(PRESENT), diffing.objects(WANTED))
    planned: Any = SimpleNamespace(
        pending=[release("renec", changes), release("keda", (), reason="another version of the chart")]
    )
    session: Any = SimpleNamespace(
        workspace=Workspace(ROOT), loaded=SimpleNamespace(profile=SimpleNamespace(environment="onprem"))
    )
    made = review_releases(session, planned)
    grades = {change.address: (change.action, change.grade.word) for change in made.changes}
    assert grades == {
        "renec: PersistentVolumeClaim renec/data": ("delete", "stateful"),
        "renec: Deployment renec/api": ("update", "caution"),
        "renec: Secret renec/keys": ("update", "caution"),
        "renec: Service renec/api": ("create", "safe"),
        "keda": ("update", "caution"),
    }
    told = repr(made)
    assert "old-value" not in told and "new-value" not in told
    assert "old-value" not in repr(changes)
