"""A plan that was saved to be applied later, if a fresh one is equal. Holds digests and no secrets.

What is applied is never the saved plan: a fresh plan is made and compared, change by change. The signature
says that the file was written by someone who has the workspace's key, and not altered since (see ADR 20).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import ToolError
from renecinfra.review.change import Change, Review
from renecinfra.sensitive import Secret

FORMAT: Final = 1
LIFE: Final = timedelta(days=7)
"""How long a saved plan may be applied."""
_SKEW: Final = timedelta(minutes=5)
_AGAIN: Final = "plan again, and have it reviewed again"
_MAX_BYTES: Final = 8_000_000
_KEYS: Final = {
    "format", "environment", "platform", "profile", "commit", "versions", "created", "terraform", "changes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planned:
    """What is compared of a plan. ``terraform`` is the digest of Terraform's part, ``commit`` only told."""

    environment: str
    platform: str
    profile: str
    commit: str | None
    versions: Mapping[str, str]
    terraform: str
    review: Review

    def document(self, now: datetime) -> dict[str, Any]:
        """What is saved, unsigned."""
        return {
            "format": FORMAT,
            "environment": self.environment,
            "platform": self.platform,
            "profile": self.profile,
            "commit": self.commit,
            "versions": dict(self.versions),
            "created": now.isoformat(timespec="seconds"),
            "terraform": self.terraform,
            "changes": [_structure(change) for change in self.review.changes],
        }


def _structure(change: Change) -> dict[str, Any]:
    content = json.dumps([change.attributes, change.diff, change.reasons])
    return {
        "layer": change.layer,
        "address": change.address,
        "action": change.action,
        "grade": change.grade.word,
        "digest": hashlib.sha256(content.encode()).hexdigest(),
    }


def _signature(document: Mapping[str, Any], key: Secret) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(key.reveal().encode(), canonical.encode(), hashlib.sha256).hexdigest()


def sign(planned: Planned, key: Secret, *, now: datetime | None = None) -> str:
    """The text of the file."""
    document = planned.document(now or datetime.now(UTC))
    return json.dumps({**document, "signature": _signature(document, key)}, indent=1) + "\n"


def read(path: Path, key: Secret) -> dict[str, Any]:
    """A saved plan of which the signature is right.

    Raises:
        ToolError: the file is not there, is no saved plan, is of another format, or ``key`` did not sign it.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ToolError("plan-file-invalid", f"{path} is too large to be a saved plan", hint=_AGAIN)
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ToolError(
            "plan-file-unreadable", f"{path} cannot be read: {error.strerror}", hint=_AGAIN
        ) from error
    except ValueError as error:
        raise ToolError(
            "plan-file-invalid", f"{path} is not a saved plan, or only a part of one", hint=_AGAIN
        ) from error
    if not isinstance(document, dict) or "format" not in document:
        raise ToolError("plan-file-invalid", f"{path} is not a saved plan", hint=_AGAIN)
    if document["format"] != FORMAT:
        raise ToolError(
            "plan-file-format",
            f"{path} is a saved plan of format {document['format']}, and this version reads {FORMAT}",
            hint=_AGAIN,
        )
    signature = document.pop("signature", None)
    if not isinstance(signature, str) or not hmac.compare_digest(
        signature.encode(), _signature(document, key).encode()
    ):
        raise ToolError(
            "plan-signature",
            f"{path} was changed after it was saved, or was saved with another key",
            hint="plan again; where planning and applying run on two machines, give both the same "
            "RENECINFRA_PLAN_KEY",
        )
    if set(document) != _KEYS:
        raise ToolError("plan-file-invalid", f"{path} is not a saved plan: its keys are others", hint=_AGAIN)
    return document


def require_equal(document: Mapping[str, Any], fresh: Planned, *, now: datetime | None = None) -> None:
    """What would be done now must be what was saved.

    Raises:
        ToolError: it is another environment's, another profile's or version's, too old, or does other things.
    """
    for check in (_same_subject, _same_versions, _same_profile):
        check(document, fresh)
    _young(document, now or datetime.now(UTC))
    _same_changes(document, fresh)


def _same_subject(document: Mapping[str, Any], fresh: Planned) -> None:
    if document["environment"] != fresh.environment:
        raise ToolError(
            "plan-environment",
            f"the plan is of {document['environment']} and not of {fresh.environment}",
            hint=_AGAIN,
        )
    if document["platform"] != fresh.platform:
        raise ToolError(
            "plan-environment",
            f"the plan is of {fresh.environment} on {document['platform']}, which now is on {fresh.platform}",
            hint=_AGAIN,
        )


def _same_versions(document: Mapping[str, Any], fresh: Planned) -> None:
    before = document["versions"]
    # Where there was nothing for it to do, Terraform's version is not known.
    for name in sorted({*before} & {*fresh.versions}):
        old, new = before[name], fresh.versions[name]
        if old != new:
            raise ToolError(
                "plan-version", f"the plan was made with {name} {old}, and this is {new}", hint=_AGAIN
            )


def _same_profile(document: Mapping[str, Any], fresh: Planned) -> None:
    if document["profile"] != fresh.profile:
        raise ToolError(
            "plan-profile",
            f"the profile of {fresh.environment} is another than the plan was made from "
            f"({document['profile'][:12]}, now {fresh.profile[:12]})",
            hint="plan again; --set and RENECINFRA__* count as well and have to be given again",
        )


def _young(document: Mapping[str, Any], now: datetime) -> None:
    created = datetime.fromisoformat(document["created"])
    if created > now + _SKEW:
        raise ToolError(
            "plan-expired",
            f"the plan says that it was made in the future, at {created:%Y-%m-%d %H:%M}",
            hint=_AGAIN,
        )
    if now - created > LIFE:
        raise ToolError(
            "plan-expired",
            f"the plan is of {created:%Y-%m-%d %H:%M} UTC and could be applied for {LIFE.days} days",
            hint=_AGAIN,
        )


def _same_changes(document: Mapping[str, Any], fresh: Planned) -> None:
    old = {_name(change): change for change in document["changes"]}
    new = {_name(change): change for change in map(_structure, fresh.review.changes)}
    if old and not new:
        raise ToolError(
            "plan-stale",
            f"nothing of the plan is left to do to {fresh.environment}: it was applied, or undone",
            hint=_AGAIN,
        )
    differences = [f"no longer: {_told(old[name])}" for name in old if name not in new]
    differences += [f"new: {_told(new[name])}" for name in new if name not in old]
    differences += [
        f"otherwise: {_told(new[name])}" for name in new if name in old and old[name] != new[name]
    ]
    if not differences and document["terraform"] != fresh.terraform:
        differences = ["Terraform's plan differs in values that are not shown"]
    if differences:
        raise ToolError(
            "plan-stale",
            f"what would be done to {fresh.environment} now is not what was planned",
            details=tuple(differences),
            hint=_AGAIN,
        )


def _name(change: Mapping[str, Any]) -> tuple[str, str]:
    return change["layer"], change["address"]


def _told(change: Mapping[str, Any]) -> str:
    return f"{change['action']} {change['address']} ({change['grade']})"
