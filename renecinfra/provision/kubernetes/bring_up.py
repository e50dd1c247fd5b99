"""`plan` and `up` on an existing cluster: preflight, plan, confirm, releases in their order, verify."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from renecinfra import rendering
from renecinfra.errors import ClusterError, HookError
from renecinfra.kubernetes import data, releases
from renecinfra.kubernetes.places import CURRENT, ROLE_LABEL
from renecinfra.kubernetes.releases import ReleasePlan, ReleasesPlan
from renecinfra.platforms.kubernetes import preflight, status
from renecinfra.platforms.kubernetes.status import ClusterStatus
from renecinfra.provision.kubernetes.session import ClusterSession
from renecinfra.provision.reviewing import provenance, review_releases
from renecinfra.rendering import Bundle
from renecinfra.review.change import Review
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.terraform.plan import Plan

_POLL_SECONDS: Final = 2.0
_VERIFY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What `up` would do."""

    environment: str
    releases: ReleasesPlan
    bundle: Bundle
    secrets: ResolvedSecrets
    preflight: tuple[preflight.Finding, ...]
    review: Review
    provenance: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Of the changes, which are compared one by one as well."""
        return hashlib.sha256("\n".join(self.releases.marks).encode()).hexdigest()

    @property
    def policed(self) -> tuple[Bundle | None, Plan | None]:
        """What policy looks at."""
        return self.bundle, None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.releases.empty

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            **self.provenance,
            **self.review.document(),
            "changes": not self.empty,
            "releases": self.releases.document(),
            "preflight": [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in self.preflight],
        }


@dataclass(frozen=True, slots=True)
class ClusterUpResult:
    """How an `up` went."""

    plan: ClusterPlan
    changed: bool
    status: ClusterStatus
    seconds: float

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.plan.environment,
            "changed": self.changed,
            "seconds": round(self.seconds, 2),
            "plan": self.plan.document(),
            "status": self.status.document(),
        }


Confirm = Callable[[ClusterPlan], None]
"""Is told the plan, also an empty one; raises where it must not be applied, or the answer is no."""


def make_plan(session: ClusterSession) -> ClusterPlan:
    """Look at the cluster, and compare. Changes nothing.

    Raises:
        RenecError: of the profile, a tool, a secret, the cluster or a chart.
    """
    reporter = session.reporter
    with reporter.step("Looking at the cluster"):
        findings = preflight.examine(session.cluster, session.profile)
        preflight.require(findings)
    with reporter.step("Rendering"):
        secrets = session.secrets()
        current = {reference: secret.version for reference, secret in secrets.items()}
        bundle = session.environment.bundle(session.versions(), current, session.places())
    with reporter.step("Planning"):
        planned = releases.plan(session.cluster, session.packages, session.environment.releases, bundle)
    for one in planned.releases:
        if one.unknown:
            keys = ", ".join(one.unknown)
            reporter.warn(f"{one.release.chart.label} does not know these values and ignores them: {keys}")
    return ClusterPlan(
        session.name,
        planned,
        bundle,
        secrets,
        tuple(findings),
        review_releases(session, planned),
        provenance(session, ""),
    )


def up(session: ClusterSession, confirm: Confirm, argv: Sequence[str]) -> ClusterUpResult:
    """Bring the environment to its profile, and look whether it is well.

    Raises:
        DeclinedError: the confirmation was refused; nothing has changed.
        ClusterError: a release did not become ready and was rolled back; the next `up` goes on from there.
        HookError: all was applied, and something is not well.
    """
    started = time.monotonic()
    with session.locked("up", argv) as run:
        with run.step("plan"):
            plan = make_plan(session)
        confirm(plan)
        if not plan.empty:
            with run.step("apply"):
                _apply(session, plan)
        with run.step("verify"):
            seen = _verify(session)
        return ClusterUpResult(plan, not plan.empty, seen, time.monotonic() - started)


def _apply(session: ClusterSession, plan: ClusterPlan) -> None:
    environment, cluster = session.environment, session.cluster
    with session.reporter.step("Preparing the namespace"):
        rendering.write(plan.bundle, session.paths.build)
        cluster.apply(environment.namespace_object())
        secrets = environment.secret_objects(plan.secrets)
        if secrets is not None:
            cluster.apply(secrets, environment.namespace)

    def after(done: ReleasePlan) -> None:
        if done.release.name == data.CHART:
            wait_for_database(session)

    releases.apply(
        cluster,
        plan.releases,
        session.paths.build,
        settings=session.settings("renecinfra up"),
        reporter=session.reporter,
        after=after,
    )


def wait_for_database(session: ClusterSession) -> None:
    """Until PostgreSQL serves: the migrations come next, and Helm does not wait for custom resources.

    Raises:
        ClusterError: it does not in the releases' time.
    """
    namespace = session.environment.namespace
    deadline = time.monotonic() + session.profile.releases.timeout.total_seconds()
    with session.reporter.step("Waiting for PostgreSQL"):
        while True:
            clusters = [
                one
                for one in session.cluster.objects("clusters.postgresql.cnpg.io", namespace)
                if one["metadata"].get("labels", {}).get(ROLE_LABEL, CURRENT) == CURRENT
            ]
            if clusters and all(_serves(one) for one in clusters):
                return
            if time.monotonic() > deadline:
                phase = clusters[0].get("status", {}).get("phase", "unknown") if clusters else "not there"
                error = ClusterError(
                    "release-timeout",
                    f"PostgreSQL does not serve: {phase}",
                    hint="`kubectl describe clusters` says what its operator waits for",
                )
                raise session.cluster.explained(error, namespace)
            time.sleep(_POLL_SECONDS)


def _serves(one: dict[str, Any]) -> bool:
    return bool(one.get("status", {}).get("readyInstances", 0) >= one["spec"]["instances"])


def read_status(session: ClusterSession) -> ClusterStatus:
    """What it looks like now.

    Raises:
        ClusterError: the cluster does not answer, or the profile's context is not there.
    """
    preflight.require_context(session.cluster)
    environment = session.environment
    return status.read(session.cluster, session.profile, environment.releases, environment.namespace)


def _verify(session: ClusterSession) -> ClusterStatus:
    """Look until all is well, for a minute: certificates and autoscalers take longer than Helm waits."""
    with session.reporter.step("Verifying"):
        deadline = time.monotonic() + _VERIFY_SECONDS
        while True:
            seen = read_status(session)
            if seen.ok:
                return seen
            if time.monotonic() > deadline:
                raise HookError(
                    "verify-failed",
                    f"{session.name} was applied, but {seen.problems[0]}",
                    details=seen.problems[1:],
                    hint=f"run `renecinfra status {session.name}`, mend the cause, then run `up` again",
                )
            time.sleep(_POLL_SECONDS)
