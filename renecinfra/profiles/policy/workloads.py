"""What runs: images on a cluster, commands on local, and workloads that need each other."""

from __future__ import annotations

from collections.abc import Iterator

from renecinfra.profiles.base import format_duration
from renecinfra.profiles.model import Profile
from renecinfra.profiles.policy.rule import Rule, Violation, is_cluster

_NAMES = ("api", "ui", "worker", "beat", "migrations", "flower")


def images(profile: Profile) -> Iterator[Violation]:
    """A workload on a cluster without an image, or with one that may be another tomorrow."""
    if not is_cluster(profile):
        return
    for name in _NAMES:
        workload = getattr(profile.workloads, name)
        path = ("workloads", name, "image")
        if not workload.enabled:
            continue
        if workload.image is None:
            message = f"workloads.{name}.image is missing on {profile.platform.kind}"
            yield Violation("profile-image", path, message, "name an image and its tag")
        elif not _pinned(workload.image):
            message = f"workloads.{name}.image must be pinned by a digest or by a tag other than latest"
            yield Violation("profile-image", path, message, "add :TAG or @sha256:DIGEST")


def _pinned(image: str) -> bool:
    if "@sha256:" in image:
        return True
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag not in ("", "latest")


def commands(profile: Profile) -> Iterator[Violation]:
    """Local workloads whose command is missing, or that do not belong together."""
    if is_cluster(profile):
        return
    workloads = profile.workloads
    if workloads.ui.enabled and workloads.ui.command is None:
        message = "workloads.ui.command is missing: local has no stand-in for the ui"
        yield Violation(
            "profile-command", ("workloads", "ui", "command"), message, "name one, or disable the ui"
        )
    yield from _mixture(profile)
    for name in _NAMES:
        workload = getattr(workloads, name)
        if workload.directory is not None and workload.command is None:
            message = f"workloads.{name}.directory has no effect without workloads.{name}.command"
            path = ("workloads", name, "directory")
            yield Violation("profile-command", path, message, "name the command, or take the directory away")
        if workload.enabled and name in ("api", "ui") and workload.command and workload.health_path is None:
            message = (
                f"workloads.{name}.health_path is missing: without it nobody knows when the command serves"
            )
            yield Violation("profile-command", ("workloads", name, "health_path"), message, "name it")


def _mixture(profile: Profile) -> Iterator[Violation]:
    """The reference workload shares neither tables nor jobs with another application."""
    workloads = profile.workloads
    enabled = [name for name in ("api", "worker", "beat") if getattr(workloads, name).enabled]
    own = [name for name in enabled if getattr(workloads, name).command is not None]
    own += ["migrations"] if workloads.migrations.enabled and workloads.migrations.command else []
    if not own:
        return
    for name in enabled:
        if name not in own:
            message = f"workloads.{name}.command is missing, while workloads.{own[0]} has one of its own"
            hint = f"name it or disable workloads.{name}: its stand-in is of another application"
            yield Violation("profile-command", ("workloads", name, "command"), message, hint)


def together(profile: Profile) -> Iterator[Violation]:
    """Beat without workers piles up jobs; a ui without an api shows nothing."""
    workloads = profile.workloads
    working = workloads.worker.enabled and workloads.worker.replicas > 0
    if workloads.beat.enabled and not working:
        message = "workloads.beat.enabled must be false without workers: its jobs would pile up"
        yield Violation(
            "profile-contradiction", ("workloads", "beat", "enabled"), message, "disable beat too"
        )
    if workloads.ui.enabled and not workloads.api.enabled:
        message = "workloads.ui.enabled must be false without the api, which it shows"
        yield Violation(
            "profile-contradiction", ("workloads", "ui", "enabled"), message, "disable the ui too"
        )
    if profile.harvest.first_run and not working:
        message = "harvest.first_run must be false without workers, which harvest"
        yield Violation("profile-contradiction", ("harvest", "first_run"), message, "enable workloads.worker")


def flower(profile: Profile) -> Iterator[Violation]:
    """Flower runs on clusters only, and never without a password: it can stop jobs."""
    workload = profile.workloads.flower
    if not workload.enabled:
        return
    if not is_cluster(profile):
        message = "workloads.flower.enabled must be false on local, where it does not run"
        yield Violation("profile-local", ("workloads", "flower", "enabled"), message, "disable it")
    elif "FLOWER_BASIC_AUTH" not in workload.secret_environment:
        message = "workloads.flower.secret_environment.FLOWER_BASIC_AUTH is missing: flower can stop jobs"
        path = ("workloads", "flower", "secret_environment")
        yield Violation("profile-secrets", path, message, "name a secret that holds USER:PASSWORD")


def timeouts(profile: Profile) -> Iterator[Violation]:
    """Waiting inside that outlasts the one who waits outside, and graces longer than any job."""
    upstream, pooler = profile.edge.upstream_timeout, profile.database.pooler
    limit = format_duration(upstream)
    if profile.database.statement_timeout > upstream:
        message = f"database.statement_timeout must be at most edge.upstream_timeout ({limit})"
        hint = "lower it: a statement would run on after its client was turned away"
        yield Violation("profile-timeouts", ("database", "statement_timeout"), message, hint)
    if pooler.query_wait_timeout >= upstream:
        message = f"database.pooler.query_wait_timeout must be less than edge.upstream_timeout ({limit})"
        hint = "lower it: a client should hear that the database is busy"
        yield Violation("profile-timeouts", ("database", "pooler", "query_wait_timeout"), message, hint)
    # The application's own hard limit for a task is 3600 s.
    if profile.workloads.worker.termination_grace.total_seconds() > 3600:
        message = "workloads.worker.termination_grace must be at most 1h, the longest that a job may run"
        yield Violation(
            "profile-timeouts", ("workloads", "worker", "termination_grace"), message, "lower it to 1h"
        )


RULES: tuple[Rule, ...] = (images, commands, together, flower, timeouts)
