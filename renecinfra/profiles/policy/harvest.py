"""What is harvested, and politely: the register is a government site."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from renecinfra.profiles.base import format_duration
from renecinfra.profiles.model import Profile
from renecinfra.profiles.policy.rule import Rule, Violation, is_cluster, is_loopback

# The application's own cap: at most two requests a second.
_DELAY_MIN = timedelta(milliseconds=500)


def target(profile: Profile) -> Iterator[Violation]:
    """Nothing to harvest, or something that the platform cannot reach."""
    harvest = profile.harvest
    if harvest.base_url is None:
        reference = not is_cluster(profile) and profile.workloads.worker.command is None
        if reference and profile.workloads.worker.enabled and not harvest.fake_site.enabled:
            message = "harvest.base_url is missing: the reference worker needs a site to harvest"
            hint = "name one, or enable harvest.fake_site"
            yield Violation("profile-harvest", ("harvest", "base_url"), message, hint)
    elif is_cluster(profile) and is_loopback(harvest.base_url):
        message = f"harvest.base_url points to this machine, which {profile.platform.kind} does not reach"
        yield Violation(
            "profile-unreachable", ("harvest", "base_url"), message, "name a site that it reaches"
        )


def politeness(profile: Profile) -> Iterator[Violation]:
    """More than two requests a second at a site that is not ours."""
    harvest = profile.harvest
    ours = harvest.fake_site.enabled if harvest.base_url is None else is_loopback(harvest.base_url)
    if ours:
        return
    if harvest.download_delay < _DELAY_MIN:
        rate = "without a pause"
        if harvest.download_delay:
            rate = f"{timedelta(seconds=1) / harvest.download_delay:.3g} requests a second"
        least = format_duration(_DELAY_MIN)
        message = f"harvest.download_delay must be at least {least} for a site that is not ours, not {rate}"
        hint = "raise it: the register's operators ask for 2s"
        yield Violation("profile-politeness", ("harvest", "download_delay"), message, hint)


RULES: tuple[Rule, ...] = (target, politeness)
