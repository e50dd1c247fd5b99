"""What `up` would do to an environment in AWS: Terraform's changes and their cost, releases, preflight."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renecinfra.hooks.catalog import aws_hooks
from renecinfra.platforms.aws import costs, preflight
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.costs import Estimate
from renecinfra.platforms.aws.preflight import Finding
from renecinfra.provision.aws import bootstrapping, releases
from renecinfra.provision.aws.releases import ReleasesSeen
from renecinfra.provision.aws.session import AwsSession
from renecinfra.provision.reviewing import provenance, review_releases, review_terraform
from renecinfra.provision.telling import tell_planning
from renecinfra.rendering import Bundle
from renecinfra.review.change import Change, Review, review
from renecinfra.review.grades import load_grades
from renecinfra.review.grading import hook_changes
from renecinfra.sensitive import Secret
from renecinfra.terraform.plan import Plan


@dataclass(frozen=True, slots=True)
class AwsPlan:
    """Everything that `up` would do, as far as it is seen. ``findings`` are those of the preflight."""

    environment: str
    terraform: Plan
    plan_file: Path
    cost: Estimate
    findings: tuple[Finding, ...]
    review: Review
    provenance: Mapping[str, Any]
    releases: ReleasesSeen

    @property
    def digest(self) -> str:
        """Equal for plans that do the same, and have seen the same."""
        planned = self.releases.plan
        if planned is None:
            return self.terraform.digest
        return hashlib.sha256("\n".join((self.terraform.digest, *planned.marks)).encode()).hexdigest()

    @property
    def policed(self) -> tuple[Bundle | None, Plan | None]:
        """What policy looks at."""
        return None, self.terraform

    @property
    def empty(self) -> bool:
        """Whether the infrastructure, and the releases as far as they are seen, are as the profile says."""
        return not self.terraform.pending and self.releases.empty

    def document(self) -> dict[str, Any]:
        """The plan for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            **self.provenance,
            **self.review.document(),
            "changes": not self.empty,
            "digest": self.terraform.digest,
            "terraform": [
                {
                    "address": change.address,
                    "action": change.action,
                    "replace_because": list(change.replace_paths),
                }
                for change in self.terraform.pending
            ],
            "releases": None if self.releases.plan is None else self.releases.plan.document(),
            "releases_skipped": self.releases.why or None,
            "cost": self.cost.document(),
            "preflight": [
                {"name": f.name, "result": f.result, "detail": f.detail, "hint": f.hint}
                for f in self.findings
            ],
        }


def make_plan(session: AwsSession, *, applying: bool = False, password: Secret | None = None) -> AwsPlan:
    """Look whether AWS can take it, render, and let Terraform plan. Changes nothing.

    Args:
        session: the environment's.
        applying: whether an apply follows, for which the credentials have to last.
        password: of the caches, where an apply follows.

    Raises:
        ToolError: of the preflight or the state's place.
        SecretsError: the version of the caches' password is not known.
        TerraformError, LockedError: Terraform refuses.
    """
    findings = look(session, applying=applying)
    bootstrapping.require(session)
    with session.reporter.step("Rendering"):
        session.write_stack(values.variables(session.profile, session.password_version()))
    plan_file = session.paths.state / "up.tfplan"
    plan = plan_stack(session, plan_file, password)
    try:
        seen = releases.look(session)
        changes = list(review_terraform(session, plan).changes)
        changes += review_releases(session, seen.plan).changes if seen.plan is not None else ()
        changes += _hooks(session) if changes else ()
    except BaseException:
        plan_file.unlink(missing_ok=True)
        raise
    return AwsPlan(
        session.name,
        plan,
        plan_file,
        costs.estimate(plan, session.platform.region),
        tuple(findings),
        review(session.name, changes),
        provenance(session, plan.terraform_version),
        seen,
    )


def _hooks(session: AwsSession) -> Iterator[Change]:
    settings: Mapping[str, Any] = dict(session.profile.hooks)
    names = (hook.name for hook in aws_hooks())
    grades = load_grades(session.workspace.templates)
    return hook_changes((name for name in names if settings[name].enabled), grades)


def look(session: AwsSession, *, applying: bool) -> list[Finding]:
    """The preflight; warns of what does not stop.

    Raises:
        ToolError: something does.
    """
    with session.reporter.step("Looking at the account"):
        findings = preflight.preflight(session.profile, session.aws, applying=applying)
        preflight.require(findings)
    for finding in findings:
        if finding.result == "warn":
            session.reporter.warn(f"{finding.name}: {finding.detail}")
    return findings


def plan_stack(
    session: AwsSession,
    plan_file: Path,
    password: Secret | None,
    *,
    destroy: bool = False,
    targets: Sequence[str] = (),
) -> Plan:
    """Terraform's plan of the stack that is rendered, saved to a file.

    Raises:
        TerraformError, LockedError: Terraform refuses.
    """
    terraform = session.terraform(password)
    with session.reporter.step("Preparing Terraform"):
        terraform.init()
    with session.reporter.progress("Planning") as progress:
        terraform.plan(
            plan_file, destroy=destroy, targets=targets, on_event=lambda event: tell_planning(progress, event)
        )
    # Shown also when nothing is pending: the estimate is of the whole environment.
    try:
        plan = terraform.show(plan_file)
    except BaseException:
        plan_file.unlink(missing_ok=True)
        raise
    return plan
