"""Small charts in the place of third parties', which are not to be had without their repositories."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from renecinfra.kubernetes.charts import THIRD_PARTY, Chart

_OBJECTS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}, labels: {app: {{ .Release.Name }}}}
spec:
  replicas: {{ .Values.size }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: operator, image: {{ .Values.tag }}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-webhook, namespace: {{ .Release.Namespace }}}
data: {key: {{ randAlphaNum 32 | b64enc }}, fixed: {{ .Values.fixed | b64enc }}}
"""
_DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {}}}],
    },
}


def package(helm: Path, chart: Chart, values: dict[str, Any], mirror: Path, *, definition: str = "") -> None:
    """A packaged chart in a mirror's directory. ``values`` are its defaults."""
    source = mirror / "source" / chart.name
    (source / "templates").mkdir(parents=True, exist_ok=True)
    described = {"apiVersion": "v2", "name": chart.name, "version": chart.version}
    (source / "Chart.yaml").write_text(yaml.safe_dump(described))
    plain = {"size": 1, "tag": f"example.org/{chart.name}:1", "fixed": "f1xed-value-of-a-secret"}
    (source / "values.yaml").write_text(yaml.safe_dump({**plain, **values}))
    (source / "templates" / "objects.yaml").write_text(_OBJECTS)
    if definition:
        (source / "crds").mkdir(exist_ok=True)
        one = json.loads(json.dumps(_DEFINITION))
        one["metadata"]["annotations"] = {"of": definition}
        (source / "crds" / "things.yaml").write_text(yaml.safe_dump(one))
    argv = [str(helm), "package", str(source), "--destination", str(mirror)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)


def mirror_of(helm: Path, mirror: Path, values: dict[str, dict[str, Any]]) -> Path:
    """A mirror with all third parties' charts; each knows the values it is given."""
    for chart in THIRD_PARTY.values():
        package(helm, chart, values.get(chart.name, {}), mirror)
    return mirror
