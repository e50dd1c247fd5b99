"""What a profile alone tells. What loading a profile refuses anyway (`profiles.policy`) is not said twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from renecinfra.profiles.aws import AwsPlatform
from renecinfra.profiles.base import format_duration
from renecinfra.profiles.loading import LoadedProfile
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import VaultSecrets
from renecinfra.profiles.policy.rule import is_cluster
from renecinfra.profiles.tree import dotted, source_of
from renecinfra.review.policy.rules import Finding, finding

_RPO_MAX: Final = timedelta(minutes=15)
_RETENTION_MIN: Final = timedelta(days=14)
_TAGS: Final = ("Project", "Environment")
_PINNED: Final = re.compile(r"@sha256:[0-9a-f]{64}$|:(?!latest$)[A-Za-z0-9_][A-Za-z0-9_.-]*$")

Seen = tuple[str, tuple[str, ...], str, object]
"""The rule, the path to blame, what is wrong with it, and its value."""


def pinned(image: str) -> bool:
    """Whether an image is named by a version or digest, so that it is the same tomorrow."""
    return _PINNED.search(image) is not None


def check(loaded: LoadedProfile) -> Iterator[Finding]:
    """Every violation in a profile, at the place where the value was written."""
    profile = loaded.profile
    checks = (_transit, *(_PROTECTED if profile.protection.protected else ()))
    for one in checks:
        for rule, path, problem, value in one(profile):
            name = dotted(path)
            location = source_of(loaded.written, path).location
            yield finding(rule, name, f"{name} {problem}", location=location, evidence=value)


def _transit(profile: Profile) -> Iterator[Seen]:
    if not is_cluster(profile):
        return
    for name, receiver in profile.monitoring.receivers.items():
        if receiver.url is not None and receiver.url.startswith("http://"):
            path = ("monitoring", "receivers", name, "url")
            yield "encryption-in-transit", path, "is not https", receiver.url


def _backups(profile: Profile) -> Iterator[Seen]:
    kept = profile.backups
    if not kept.enabled:
        yield "backups", ("backups", "enabled"), "is false: nothing can be restored", False
    if kept.rpo > _RPO_MAX:
        most = format_duration(_RPO_MAX)
        yield "backups", ("backups", "rpo"), f"is more than {most}", format_duration(kept.rpo)
    if kept.retention < _RETENTION_MIN:
        least = format_duration(_RETENTION_MIN)
        found = format_duration(kept.retention)
        yield "backup-retention", ("backups", "retention"), f"is less than {least}", found


def _watched(profile: Profile) -> Iterator[Seen]:
    receivers = profile.monitoring.receivers.values()
    if not any(one.kind != "log" and "critical" in one.severities for one in receivers):
        yield "alerting", ("monitoring", "receivers"), "has nobody who is told of critical alerts", ""
    if not profile.hooks.monitoring.enabled:
        yield (
            "monitoring",
            ("hooks", "monitoring", "enabled"),
            "is false: nobody checks what is watched",
            False,
        )


def _logins(profile: Profile) -> Iterator[Seen]:
    if isinstance(profile.secrets, VaultSecrets) and profile.secrets.auth == "token":
        yield "login", ("secrets", "auth"), "is a token that somebody keeps", "token"


def _replicas(profile: Profile) -> Iterator[Seen]:
    for name in ("api", "ui", "worker"):
        workload = getattr(profile.workloads, name)
        if workload.enabled and workload.replicas < 2:
            path = ("workloads", name, "replicas")
            yield "replicas", path, "is 1: a lost node takes it down", workload.replicas


def _tags(profile: Profile) -> Iterator[Seen]:
    if not isinstance(profile.platform, AwsPlatform):
        return
    for tag in _TAGS:
        if tag not in profile.platform.tags:
            yield "tags", ("platform", "tags"), f"has no {tag}", ", ".join(profile.platform.tags)


_PROTECTED: Final[tuple[Callable[[Profile], Iterator[Seen]], ...]] = (
    _backups,
    _watched,
    _logins,
    _replicas,
    _tags,
)
