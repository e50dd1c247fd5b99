"""What `up` would do, as one value: Terraform's changes, file differences, dead services."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renecinfra import rendering, tls
from renecinfra.errors import BugError
from renecinfra.platforms.local.environment import STACK
from renecinfra.profiles.platform import OpenBaoSecrets
from renecinfra.provision import applied
from renecinfra.provision.reviewing import provenance, reasons, review_plan
from renecinfra.provision.session import Session
from renecinfra.rendering import Bundle, FileChange
from renecinfra.review.change import Review
from renecinfra.secrets import openbao
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.terraform.plan import NOTHING, Plan

_SERVICES = "services/"
SUPERVISOR = "supervisor"
"""What ``UpPlan.dead`` calls the supervisor itself."""


@dataclass(frozen=True, slots=True)
class UpPlan:
    """Everything that `up` would do to an environment, and what it needs to do it.

    ``dead`` maps a service that should run and does not serve to what was seen of it; it is replaced.
    ``at_hand`` are the secrets, or None where the environment's own OpenBao has to be started or set up
    before they can be had: then their versions are those that were current last.
    ``data_kept`` says that data of an earlier environment is there and will be used. ``review`` is all of it
    graded by risk, and ``provenance`` says of which profile, commit and versions it is.
    """

    environment: str
    terraform: Plan
    plan_file: Path
    files: tuple[FileChange, ...]
    dead: Mapping[str, str]
    bundle: Bundle
    at_hand: ResolvedSecrets | None
    data_kept: bool
    review: Review
    provenance: Mapping[str, Any]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.terraform.pending and not self.files and self.at_hand is not None

    @property
    def digest(self) -> str:
        """Equal for plans of which Terraform's part does the same."""
        return self.terraform.digest

    @property
    def policed(self) -> tuple[Bundle | None, Plan | None]:
        """What policy looks at."""
        return self.bundle, self.terraform

    @property
    def secrets(self) -> ResolvedSecrets:
        """The secrets, for what is done after they were to be had."""
        if self.at_hand is None:
            raise BugError("plan-secrets", "the secrets of a plan are used before they are there")
        return self.at_hand

    def document(self) -> dict[str, Any]:
        """The plan for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            **self.provenance,
            "changes": not self.empty,
            "terraform": [
                {"address": change.address, "action": change.action} for change in self.terraform.pending
            ],
            "files": [{"path": f.path, "kind": f.kind, "diff": f.diff} for f in self.files],
            "dead": dict(self.dead),
            "secrets": "assumed" if self.at_hand is None else "resolved",
            **self.review.document(),
        }


def make_plan(session: Session) -> UpPlan:
    """Render in memory, look at what runs, and let Terraform plan. Changes no service and no installed file.

    Raises:
        RenecError: of the profile, a tool, a secret, a template or Terraform.
    """
    environment, reporter = session.environment, session.reporter
    session.read_ahead()
    with reporter.step("Rendering"):
        if isinstance(session.profile.secrets, OpenBaoSecrets):
            openbao.prepare(session.paths)  # its PKI makes the other certificates
        else:
            tls.ensure(session.paths.tls, session.profile.edge.host)
        secrets = session.secrets_at_hand()
        versions = session.assumed_versions() if secrets is None else versions_of(secrets)
        bundle = environment.bundle(versions)
    return plan_bundle(session, bundle, secrets)


def versions_of(secrets: ResolvedSecrets) -> dict[str, int]:
    """The version of each secret."""
    return {reference: secret.version for reference, secret in secrets.items()}


def plan_bundle(session: Session, bundle: Bundle, secrets: ResolvedSecrets | None) -> UpPlan:
    """The plan from here to a bundle.

    Raises:
        TerraformError: Terraform refuses.
    """
    environment = session.environment
    data_kept = session.paths.data.is_dir() and any(session.paths.data.iterdir())
    files = installed_changes(bundle, session.paths.etc)
    installed = session.paths.etc.exists()
    with session.reporter.step("Planning"):
        write_stack(bundle, session.paths.terraform)
        terraform = session.terraform
        terraform.init()
        dead = _dead_services(session)
        plan_file = session.paths.state / "up.tfplan"
        addresses = tuple(environment.address(name) for name in dead if name != SUPERVISOR)
        if SUPERVISOR in dead:
            addresses = ("terraform_data.supervisor",)
        changed = terraform.plan(plan_file, replace=addresses)
        plan = terraform.show(plan_file) if changed else NOTHING
    if changed:
        try:
            environment.preflight()
        except BaseException:
            plan_file.unlink()
            raise
    before = applied.applied(session.paths)
    if before is None and not installed:
        before = {}
    after = session.assumed_versions() if secrets is None else versions_of(secrets)
    because = reasons(environment, plan, files, dead, SUPERVISOR)
    return UpPlan(
        session.name,
        plan,
        plan_file,
        files,
        dead,
        bundle,
        secrets,
        data_kept,
        review_plan(session, plan, files, because, (before, after)),
        provenance(session, plan.terraform_version),
    )


_SETTLING_SECONDS = 3.0


def _dead_services(session: Session) -> dict[str, str]:
    """Services that Terraform's state has and that do not serve, with what was seen of each."""
    known = _services_in_state(session)
    if not known:
        return {}
    if not session.supervision.running():
        return {SUPERVISOR: "not running"}
    deadline = time.monotonic() + _SETTLING_SECONDS
    while True:
        health = session.supervision.health_all(known)
        dead = {name: check.detail for name, check in health.items() if not check.ok}
        # One that is healing by itself, or waits for another that is, is not to be replaced.
        if not dead or time.monotonic() > deadline:
            return dead
        time.sleep(0.2)


def _services_in_state(session: Session) -> list[str]:
    """Healthy is asked only of what the state says is there and the profile still wants."""
    recorded = {resource.address for resource in session.recorded() if not resource.tainted}
    environment = session.environment
    return [s.name for s in environment.services if environment.address(s.name) in recorded]


def installed_changes(bundle: Bundle, etc: Path) -> tuple[FileChange, ...]:
    """How the services' installed configuration differs from the bundle; secret files are not looked at."""
    wanted = {
        path.removeprefix(_SERVICES): file for path, file in bundle.items() if path.startswith(_SERVICES)
    }
    return tuple(rendering.changes(wanted, etc, ignore=_is_secret_file))


def _is_secret_file(path: Path) -> bool:
    """Installed secret files are 0600 and never part of a bundle; nothing else below etc/ is 0600."""
    return path.stat().st_mode & 0o077 == 0


def write_stack(bundle: Bundle, directory: Path) -> None:
    """Bring Terraform's directory to the bundle's stack; leaves its state and .terraform alone."""
    prefix = f"{STACK}/"
    wanted = {path.removeprefix(prefix): file for path, file in bundle.items() if path.startswith(prefix)}
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, file in wanted.items():
        target = directory / name
        if not target.is_file() or target.read_text(encoding="utf-8") != file.text:
            rendering.write_atomically(target, file.text, file.mode)
    for stale in directory.glob("*.tf"):
        if stale.name not in wanted:
            stale.unlink()
