"""Alerts that a planned change of the database would raise are silenced while it lasts, and not longer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from renecinfra.profiles.model import Profile

# What a change of primaries makes true for a while; everything else still alerts.
_ALERTS: Final = (
    "PostgresDown|ReplicaDown|ReplicationLag|Pooler.*|Api.*|Worker.*|TargetDown|Archive.*|Backup.*"
)
_TIMEOUT: Final = 3.0


def silence(profile: Profile, reason: str, lasts: timedelta) -> str | None:
    """Silence them; returns the silence's id, None where Alertmanager does not answer."""
    now = datetime.now(UTC)
    answer = _request(
        profile,
        "POST",
        "/api/v2/silences",
        {
            "matchers": [{"name": "alertname", "value": _ALERTS, "isRegex": True, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + lasts).isoformat(),
            "createdBy": "renecinfra",
            "comment": reason,
        },
    )
    return str(answer["silenceID"]) if isinstance(answer, dict) and "silenceID" in answer else None


def unsilence(profile: Profile, silence_id: str) -> None:
    """End a silence; one that is not there any more is well."""
    _request(profile, "DELETE", f"/api/v2/silence/{silence_id}", None)


def _request(profile: Profile, method: str, path: str, body: dict[str, Any] | None) -> Any:
    import urllib3

    url = f"http://127.0.0.1:{profile.local.port('alertmanager')}{path}"
    try:
        with urllib3.PoolManager(retries=False, timeout=_TIMEOUT) as pool:
            answer = pool.request(method, url, json=body) if body is not None else pool.request(method, url)
    except urllib3.exceptions.HTTPError:
        return None
    if answer.status != 200:
        return None
    try:
        return json.loads(answer.data or b"null")
    except ValueError:
        return None
