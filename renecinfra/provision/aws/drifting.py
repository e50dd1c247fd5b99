"""What an environment in AWS became without us: resources against the state, objects against releases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from renecinfra.errors import RenecError, ToolError
from renecinfra.kubernetes import live
from renecinfra.platforms.aws import state as states
from renecinfra.platforms.aws import trail
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.kubeconfig import kubeconfig
from renecinfra.platforms.helm_releases import HelmReleases
from renecinfra.platforms.releases import ReleaseContext
from renecinfra.provision.aws import bootstrapping
from renecinfra.provision.aws.session import AwsSession
from renecinfra.provision.drift import Drift, DriftItem
from renecinfra.provision.kubernetes.drifting import item
from renecinfra.terraform.plan import ResourceChange, path_text

_LOOKED_UP: Final = 10
"""Resources whose changes are looked up: CloudTrail answers two questions a second."""


def drift(session: AwsSession, argv: Sequence[str]) -> Drift:
    """A refresh-only plan, and the live objects of the releases; changes nothing.

    Raises:
        ToolError: the environment is not up, or AWS cannot be asked.
        TerraformError: Terraform refuses.
        LockedError: another run holds the environment.
    """
    session.aws.require_account()
    bootstrapping.require(session)
    skipped: dict[str, str] = {}
    items: list[DriftItem] = []
    with session.locked("drift", argv) as run:
        with run.step("resources"), session.reporter.step("Refreshing"):
            items += _resources(session, skipped)
        with run.step("objects"), session.reporter.step("Comparing objects"):
            items += _objects(session, skipped)
    return Drift(session.name, tuple(items), skipped)


def _resources(session: AwsSession, skipped: dict[str, str]) -> Iterator[DriftItem]:
    # The password's version is the state's own: drift is no reason to ask Vault.
    version = states.password_version(session.state.current())
    session.write_stack(values.variables(session.profile, version))
    terraform = session.terraform()
    terraform.init()
    if not terraform.state_resources():
        raise ToolError(
            "not-up",
            f"{session.name} is not up, so nothing of it can have drifted",
            hint=f"run `renecinfra up {session.name}`",
        )
    plan_file = session.paths.state / "drift.tfplan"
    try:
        terraform.plan(plan_file, refresh_only=True)
        found = terraform.show(plan_file).drift
    finally:
        plan_file.unlink(missing_ok=True)
    for number, change in enumerate(found):
        paths = ", ".join(path_text(path) for path in change.changed)
        seen = "is gone" if change.action == "delete" else f"differs in {paths}" if paths else change.action
        who, when = _writer(session, change, skipped) if number < _LOOKED_UP else (None, None)
        yield DriftItem("terraform", change.address, seen, who, when)


def _writer(
    session: AwsSession, change: ResourceChange, skipped: dict[str, str]
) -> tuple[str | None, str | None]:
    before = change.before if isinstance(change.before, dict) else {}
    name = next((before[key] for key in ("identifier", "name", "id") if before.get(key)), None)
    if not isinstance(name, str) or "who" in skipped:
        return None, None
    try:
        return trail.last_writer(session.aws, name)
    except RenecError as error:
        skipped["who"] = error.message
        return None, None


def _objects(session: AwsSession, skipped: dict[str, str]) -> Iterator[DriftItem]:
    outputs = session.terraform().outputs()
    releases = HelmReleases(session.workspace)
    try:
        with kubeconfig(session.name, outputs["cluster"], session.workspace.root, session.overrides) as path:
            context = ReleaseContext(session.profile, outputs, {}, path, session.reporter)
            for one in live.compare(releases.cluster(context), releases.releases(session.profile)):
                yield item(one)
    except RenecError as error:
        # Its API is private: from outside of the network the resources alone can be looked at.
        skipped["objects"] = error.message
