"""What `audit` looks at: the profile, what it renders to, a Terraform plan, and what scanners say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from renecinfra import scanners
from renecinfra.errors import UsageError
from renecinfra.profiles.loading import load
from renecinfra.provision import clusters
from renecinfra.provision.manifests import manifests
from renecinfra.provision.session import Session
from renecinfra.rendering import Bundle
from renecinfra.reporting import Reporter
from renecinfra.review.policy.audit import Audit, audit
from renecinfra.review.policy.rules import Finding
from renecinfra.terraform.plan import Plan, parse_plan
from renecinfra.workspace import Workspace


def audit_environment(
    workspace: Workspace,
    name: str,
    reporter: Reporter,
    *,
    overrides: Sequence[str] = (),
    terraform_plan: Path | None = None,
    scan: bool = False,
) -> Audit:
    """Every rule over an environment; changes and starts nothing.

    Args:
        terraform_plan: what ``terraform show -json`` printed of a plan, to be looked at too.
        scan: have checkov and trivy look at what is rendered and at the Terraform stack, where installed.

    Raises:
        ProfileError: the profile is wrong, or does not render.
        ClusterError: a chart refuses its values.
        UsageError: the plan cannot be read.
    """
    session = Session(workspace, load(workspace, name, overrides), reporter)
    skipped: dict[str, str] = {}
    with reporter.step("Rendering"):
        bundle = {**clusters.bundle(session), **manifests(workspace, session.profile, skipped)}
    terraform = _read_plan(terraform_plan) if terraform_plan is not None else None
    if terraform is None:
        skipped["Terraform plan"] = "none was given with --terraform-plan"
    more: list[Finding] = []
    if scan:
        stack = workspace.terraform / "stacks" / session.profile.platform.kind
        more = _scan(bundle, stack, skipped, reporter)
    else:
        skipped["scanners"] = "not asked for with --scan"
    today = datetime.now(UTC).date()
    return audit(session.loaded, bundle, terraform, today=today, more=more, skipped=skipped)


def _read_plan(path: Path) -> Plan:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return parse_plan(document)
    except OSError as error:
        raise UsageError("terraform-plan-unreadable", f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            "terraform-plan-unreadable",
            f"{path} is not what `terraform show -json PLANFILE` prints",
            hint="write it with `terraform show -json PLANFILE > FILE`",
        ) from error


def _scan(bundle: Bundle, stack: Path, skipped: dict[str, str], reporter: Reporter) -> list[Finding]:
    found: list[Finding] = []
    for scanner in scanners.SCANNERS:
        if not scanner.installed():
            skipped[scanner.name] = "not installed"
            continue
        with reporter.step(f"Scanning with {scanner.name}"):
            found += scanner.scan(bundle, stack)
    return found
