"""Which alerts a cluster's Prometheus watches beside those of its own, and who is told. Pure.

The rules are those of every platform, as far as they ask for what the application itself measures. Nodes,
pods, volumes and the monitoring are watched by the rules that come with kube-prometheus-stack.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import yaml

from renecinfra.kubernetes.secrets import labels
from renecinfra.platforms.local.monitoring import rule_context
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import size
from renecinfra.rendering import Renderer
from renecinfra.secrets import policy

RULES: Final = ("recording", "ApiErrorRate", "ApiLatency")


def alert_objects(profile: Profile, renderer: Renderer) -> dict[str, str]:
    """Objects of Prometheus' operator by a name of their own; none where there is no monitoring.

    Raises:
        ProfileError: a template does not render.
    """
    if not profile.releases.monitoring:
        return {}
    context = rule_context(profile, size(profile, 1))
    found = {
        f"rule-{name.lower()}": _rule(
            profile, name, renderer.render(f"monitoring/rules/{name}.yaml.j2", context)
        )
        for name in RULES
    }
    monitoring = profile.monitoring
    found["receivers"] = renderer.render(
        "kubernetes/alerts/receivers.yaml.j2",
        {
            "namespace": policy.namespace_of(profile),
            "labels": labels(profile),
            "group_wait": monitoring.group_wait,
            "group_interval": max(timedelta(seconds=5), 2 * monitoring.group_wait),
            "receivers": {name: one for name, one in monitoring.receivers.items() if one.kind != "log"},
        },
    )
    return {name: text.rstrip("\n") for name, text in found.items()}


def _rule(profile: Profile, name: str, rendered: str) -> str:
    groups: Any = yaml.safe_load(rendered)["groups"]
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": f"renec-{name.lower()}",
            "namespace": policy.namespace_of(profile),
            "labels": labels(profile),
        },
        "spec": {"groups": groups},
    }
    return str(yaml.safe_dump(document, sort_keys=False, width=200))
