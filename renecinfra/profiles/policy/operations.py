"""How an environment is watched and backed up, and what a protected one must have."""

from __future__ import annotations

from collections.abc import Iterator

from renecinfra.profiles.base import format_duration
from renecinfra.profiles.model import Profile
from renecinfra.profiles.policy.rule import Rule, Violation, is_cluster, is_loopback


def monitoring(profile: Profile) -> Iterator[Violation]:
    """Times that make alerts meaningless, and receivers that cannot be reached."""
    watch = profile.monitoring
    interval = format_duration(watch.scrape_interval)
    if watch.alert_for <= watch.scrape_interval:
        message = f"monitoring.alert_for must be longer than monitoring.scrape_interval ({interval})"
        hint = "raise it: one lost sample would be an alert"
        yield Violation("profile-monitoring", ("monitoring", "alert_for"), message, hint)
    if watch.retention <= watch.scrape_interval:
        message = f"monitoring.retention must be longer than monitoring.scrape_interval ({interval})"
        yield Violation("profile-monitoring", ("monitoring", "retention"), message, "raise it")
    for name, receiver in watch.receivers.items():
        path = ("monitoring", "receivers", name, "url")
        if receiver.url is not None and is_cluster(profile) and is_loopback(receiver.url):
            message = f"{'.'.join(path)} points to this machine, which {profile.platform.kind} does not reach"
            yield Violation("profile-unreachable", path, message, "name a host that it reaches")
        for field in ("url", "secret", "address", "smarthost"):
            if getattr(receiver, field) is not None and field not in _FIELDS[receiver.kind]:
                path = ("monitoring", "receivers", name, field)
                message = f"{'.'.join(path)} has no effect for a receiver of kind {receiver.kind}"
                yield Violation("profile-contradiction", path, message, "take it away, or change the kind")


_FIELDS = {
    "log": (),
    "webhook": ("url",),
    "slack": ("secret",),
    "pagerduty": ("secret",),
    "email": ("address", "smarthost", "secret"),
}


def backups(profile: Profile) -> Iterator[Violation]:
    """Backups that are gone before they are old enough to be needed."""
    kept = profile.backups
    if kept.enabled and kept.retention < kept.rpo:
        least = format_duration(kept.rpo)
        message = f"backups.retention must be at least backups.rpo ({least})"
        hint = "raise it: nothing would be left to restore"
        yield Violation("profile-backups", ("backups", "retention"), message, hint)
    if kept.enabled and kept.archive_timeout > kept.rpo:
        most = format_duration(kept.rpo)
        message = f"backups.archive_timeout must be at most backups.rpo ({most})"
        hint = "lower it: what waits longer for the archive can be lost"
        yield Violation("profile-backups", ("backups", "archive_timeout"), message, hint)
    if kept.second is not None and kept.second.kind == "posix" and kept.second.path == kept.directory:
        message = "backups.second.path must differ from backups.directory"
        yield Violation("profile-backups", ("backups", "second", "path"), message, "name another place")


def protected(profile: Profile) -> Iterator[Violation]:
    """A protected environment without backups, without a standby, or without anyone who is told."""
    if not profile.protection.protected:
        return
    if not profile.backups.enabled:
        message = "backups.enabled must be true for a protected environment"
        yield Violation("profile-protected", ("backups", "enabled"), message, "enable backups")
    if profile.database.replicas < 1:
        message = "database.replicas must be at least 1 for a protected environment"
        yield Violation("profile-protected", ("database", "replicas"), message, "raise it")
    if all(receiver.kind == "log" for receiver in profile.monitoring.receivers.values()):
        message = "monitoring.receivers must have one that is not of kind log for a protected environment"
        hint = "add one: nobody would be told"
        yield Violation("profile-protected", ("monitoring", "receivers"), message, hint)


RULES: tuple[Rule, ...] = (monitoring, backups, protected)
