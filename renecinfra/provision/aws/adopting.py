"""Terraform follows what a restore did: the instances that have the environment's names are its own again."""

from __future__ import annotations

from typing import Final

from renecinfra.errors import TerraformError
from renecinfra.platforms.aws import stack
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.recovery import Instances
from renecinfra.provision.aws.applying import apply
from renecinfra.provision.aws.planning import plan_stack
from renecinfra.provision.aws.session import AwsSession
from renecinfra.rendering import write_atomically
from renecinfra.sensitive import Secret

_MODULE: Final = "module.database"
_PRIMARY: Final = f"{_MODULE}.aws_db_instance.primary"
_REPLICA: Final = f"{_MODULE}.aws_db_instance.replica"
_COPIES: Final = f"{_MODULE}.aws_db_instance_automated_backups_replication.this"
"""Of one instance's backups: of the new one's it is made anew."""
_FILE: Final = "adopt.tf"
"""Gone with the next rendering."""


def adopt(session: AwsSession, instances: Instances) -> None:
    """Have the state know the instances that have the environment's names, and make what is missing.

    The primary is neither replaced nor destroyed by it, or nothing is applied.

    Raises:
        TerraformError: Terraform refuses, or would replace the primary.
        SecretsError: the password of the caches, which Terraform is given, cannot be had.
    """
    password = session.secrets()[session.profile.cache.password].value
    session.write_stack(values.variables(session.profile, session.password_version()))
    terraform = session.terraform(password)
    with session.reporter.step("Telling Terraform which instances are the environment's"):
        terraform.init()
        known = {one.address: one.resource_id for one in terraform.state_resources()}
        wanted = _wanted(instances)
        strange = [
            address
            for address, resource in known.items()
            if address.startswith((_PRIMARY, _REPLICA)) and wanted.get(address, ("", ""))[1] != resource
        ]
        if _PRIMARY in strange and _COPIES in known:
            strange.append(_COPIES)
        terraform.forget(strange)
        taken = {to: name for to, (name, resource) in wanted.items() if known.get(to) != resource}
        # In a plan, what is taken in is known: `terraform import` cannot tell what depends on it.
        blocks = "".join(f'import {{\n  to = {to}\n  id = "{name}"\n}}\n' for to, name in taken.items())
        write_atomically(session.paths.terraform / stack.ROOT / _FILE, blocks)
    _complete(session, password)


def _wanted(instances: Instances) -> dict[str, tuple[str, str]]:
    """By address, the identifier and the resource id of each instance that there is."""
    found = {}
    for number, name in enumerate(instances.own):
        there = instances.find(name)
        if there is not None:
            address = _PRIMARY if number == 0 else f"{_REPLICA}[{number - 1}]"
            found[address] = (name, str(there["DbiResourceId"]))
    return found


def _complete(session: AwsSession, password: Secret) -> None:
    """Replicas, the copies of backups and the settings that a restore does not take."""
    plan_file = session.paths.state / "restore.tfplan"
    changes = plan_stack(session, plan_file, password, targets=(_MODULE,))
    lost = [c for c in changes.pending if c.address == _PRIMARY and c.action != "update"]
    if lost:
        plan_file.unlink(missing_ok=True)
        raise TerraformError(
            "restore-adopt",
            f"Terraform would {lost[0].action} {_PRIMARY}, which has just been restored",
            hint=f"nothing was applied; look at `renecinfra plan {session.name}`",
            details=tuple(lost[0].replace_paths),
        )
    if changes.pending:
        apply(session, changes, plan_file, password, targets=(_MODULE,), title="Completing the database")
    plan_file.unlink(missing_ok=True)
