"""Which releases an environment on a cluster has, in the order in which they depend on each other. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from renecinfra.kubernetes import application, data
from renecinfra.kubernetes.backends import Backends
from renecinfra.kubernetes.charts import THIRD_PARTY, Chart, own
from renecinfra.kubernetes.places import Places
from renecinfra.kubernetes.secrets import secret_objects
from renecinfra.kubernetes.versions import Versions
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import VaultSecrets
from renecinfra.rendering import Bundle, RenderedFile, Renderer
from renecinfra.secrets import policy

DIRECTORY: Final = "helm"
"""Where the bundle has the values files."""
SECRETS: Final = "renec-secrets"
APPLICATION: Final = "renec"
"""The name of the application's release."""

_NAMESPACES: Final = {
    "kube-prometheus-stack": "monitoring",
    "cloudnative-pg": "cnpg-system",
    # The plugin is found by the operator in its own namespace only.
    "plugin-barman-cloud": "cnpg-system",
    "eck-operator": "elastic-system",
    "eck-stack": "logging",
    "jaeger": "tracing",
    "opentelemetry-collector": "tracing",
}


@dataclass(frozen=True, slots=True)
class Release:
    """A Helm release that should be there. ``values`` is its file's path in the bundle.

    ``data`` says that taking it away loses data, of which it names the kind.
    """

    name: str
    namespace: str
    chart: Chart
    values: str
    data: str = ""
    arguments: Sequence[str] = field(default=())


def third_party(profile: Profile) -> list[str]:
    """The names of what is installed beside the application, in order."""
    wanted = profile.releases
    external = (
        isinstance(profile.secrets, VaultSecrets) and profile.secrets.delivery.kind == "external-secrets"
    )
    on_premise = profile.platform.kind == "kubernetes"
    names = {
        "kube-prometheus-stack": wanted.monitoring,
        "cert-manager": True,
        "external-secrets": external,
        "keda": _scales_by_queue(profile),
        "cloudnative-pg": on_premise,
        "plugin-barman-cloud": on_premise and profile.backups.enabled,
        "eck-operator": wanted.logging,
        "eck-stack": wanted.logging,
        "jaeger": wanted.tracing,
        "opentelemetry-collector": wanted.tracing,
    }
    return [name for name, is_wanted in names.items() if is_wanted and name not in wanted.provided]


def _scales_by_queue(profile: Profile) -> bool:
    worker = profile.workloads.worker
    most = worker.replicas_max
    return worker.enabled and most is not None and most > worker.replicas


def releases(profile: Profile, templates: Path, *, extra: Iterable[Release] = ()) -> list[Release]:
    """Every release in its order: operators, then ``extra`` (a platform's own), then ours."""
    namespace = policy.namespace_of(profile)
    found = [
        Release(name, _NAMESPACES.get(name, name), THIRD_PARTY[name], f"{DIRECTORY}/{name}.yaml", _data(name))
        for name in third_party(profile)
    ]
    found += extra

    def add(name: str, chart: str, what: str = "") -> None:
        found.append(Release(name, namespace, own(chart, templates), f"{DIRECTORY}/{chart}.yaml", what))

    if isinstance(profile.secrets, VaultSecrets):
        add(SECRETS, SECRETS)
    if profile.platform.kind == "kubernetes":
        add(data.CHART, data.CHART, "the broker's queue")
    add(APPLICATION, application.CHART)
    return found


def _data(name: str) -> str:
    kinds = {"eck-stack": "all logs", "kube-prometheus-stack": "all metrics"}
    return kinds.get(name, "")


@dataclass(frozen=True, slots=True)
class Rendering:
    """What the values are rendered with, besides the profile.

    ``secret_versions`` are the current ones, as far as they are known: their change restarts who uses them.
    ``service`` is how the edge is exposed where that is not for the profile to say; ``objects`` are further
    ones that go with those by which secrets come. ``places`` are PostgreSQL's clusters, where they are ours.
    """

    renderer: Renderer
    workspace: Path
    backends: Backends
    versions: Versions = field(default_factory=Versions)
    secret_versions: Mapping[str, int] = field(default_factory=dict)
    service: Mapping[str, Any] | None = None
    target_group: str = ""
    objects: Mapping[str, str] = field(default_factory=dict)
    places: Places | None = None


def bundle(profile: Profile, rendering: Rendering) -> Bundle:
    """The values files of every release of :func:`releases`, but for a platform's own.

    Raises:
        ProfileError: a template does not render.
        SecretsError: Vault's CA cannot be read.
    """
    renderer, revision = rendering.renderer, _revision(rendering.secret_versions)
    files: dict[str, RenderedFile] = {}
    context = {"profile": profile, "environment": profile.environment, "platform": profile.platform}
    for name in third_party(profile):
        files[f"{DIRECTORY}/{name}.yaml"] = renderer.file(f"helm/{name}.yaml.j2", f"{name}.yaml", context)
    if isinstance(profile.secrets, VaultSecrets):
        objects = {
            path.rpartition("/")[2].removesuffix(".yaml"): file.text.rstrip("\n")
            for path, file in secret_objects(profile, renderer, rendering.workspace).items()
        }
        objects = {**objects, **rendering.objects}
        files[f"{DIRECTORY}/{SECRETS}.yaml"] = renderer.file(
            f"helm/{SECRETS}.yaml.j2", f"{SECRETS}.yaml", {**context, "objects": objects}
        )
    if profile.platform.kind == "kubernetes":
        files[f"{DIRECTORY}/{data.CHART}.yaml"] = data.values(
            profile, renderer, revision=revision, places=rendering.places
        )
    files[f"{DIRECTORY}/{application.CHART}.yaml"] = application.values(
        profile,
        renderer,
        rendering.backends,
        revision=revision,
        versions=rendering.versions,
        service=rendering.service,
        target_group=rendering.target_group,
    )
    return files


def _revision(versions: Mapping[str, int]) -> str:
    """Of no use to whoever reads it: versions are not secret, but need not be told either."""
    if not versions:
        return ""
    return hashlib.sha256(json.dumps(dict(sorted(versions.items()))).encode()).hexdigest()[:16]
