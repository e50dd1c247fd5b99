"""Which alerts a cluster's Prometheus watches beside those of its own, and who is told. Pure.

The rules are those of every platform, as far as they ask for what the application itself measures. Nodes,
pods, volumes and the monitoring are watched by the rules that come with kube-prometheus-stack.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final

import yaml

from renecinfra.kubernetes.secrets import labels
from renecinfra.platforms.local.monitoring import rule_context
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform
from renecinfra.profiles.sizing import size
from renecinfra.rendering import Renderer
from renecinfra.secrets import policy

RULES: Final = ("recording", "ApiErrorRate", "ApiLatency")
RECOVERY: Final = ("PostgresDown", "ReplicationLag", "ArchiveStalled", "BackupStale", "DrillStale")
"""By what CloudNativePG and its plugin for backups measure, where PostgreSQL is in the cluster."""
RECOVERY_ELSEWHERE: Final = ("DrillStale",)
"""Where PostgreSQL is RDS's: it takes the backups itself, but nobody rehearses a restore by itself."""
_DRILL: Final = "renec-drill"


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
    if profile.backups.enabled:
        more = {
            **context,
            "namespace": policy.namespace_of(profile),
            "instances": profile.database.replicas + 1,
        }
        for name in RECOVERY if isinstance(profile.platform, KubernetesPlatform) else RECOVERY_ELSEWHERE:
            rendered = renderer.render(f"kubernetes/alerts/rules/{name}.yaml.j2", more)
            found[f"rule-{name.lower()}"] = _rule(profile, name, rendered)
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
    document = _object(profile, f"renec-{name.lower()}", groups)
    return str(yaml.safe_dump(document, sort_keys=False, width=200))


def _object(profile: Profile, name: str, groups: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": policy.namespace_of(profile), "labels": labels(profile)}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata,
        "spec": {"groups": groups},
    }


def drilled(profile: Profile, at: datetime, seconds: float) -> str:
    """The last good drill as an object whose rules are its metrics: nothing has to run to tell them."""
    facts = {
        "renec_drill_success_timestamp_seconds": round(at.timestamp()),
        "renec_drill_rto_seconds": round(seconds, 1),
    }
    rules = [{"record": name, "expr": f"vector({value})"} for name, value in facts.items()]
    return json.dumps(_object(profile, _DRILL, [{"name": _DRILL, "rules": rules}]))
