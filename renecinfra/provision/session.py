"""What every command over an environment starts from: profile, platform, secrets, Terraform."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from renecinfra.errors import ToolError
from renecinfra.journal import Journal, Run
from renecinfra.locking import environment_lock
from renecinfra.platforms.local.environment import LocalEnvironment
from renecinfra.profiles.loading import LoadedProfile, load
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import GeneratedSecrets, OpenBaoSecrets, VaultSecrets
from renecinfra.provision import deployed
from renecinfra.redaction import redactor
from renecinfra.reporting import Reporter
from renecinfra.secrets import escrow, openbao
from renecinfra.secrets.catalog import store_for
from renecinfra.secrets.generated import GeneratedStore
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.supervision import Supervision
from renecinfra.terraform.adapter import StateResource, Terraform
from renecinfra.terraform.binary import find_terraform
from renecinfra.workspace import EnvironmentPaths, Workspace

if TYPE_CHECKING:
    from renecinfra.secrets.vault_store import VaultStore


@dataclass
class Session:
    """One command's view of one environment. Parts are made when first needed."""

    workspace: Workspace
    loaded: LoadedProfile
    reporter: Reporter
    lock_descriptors: tuple[int, ...] = field(default=())
    _ahead: Future[list[StateResource]] | None = field(default=None, init=False, repr=False)

    @property
    def profile(self) -> Profile:
        """The profile after ``extends`` and overrides."""
        return self.loaded.profile

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.profile.environment

    @cached_property
    def paths(self) -> EnvironmentPaths:
        """Where the environment keeps its state."""
        return self.workspace.paths(self.name)

    @cached_property
    def environment(self) -> LocalEnvironment:
        """The environment on its platform."""
        return LocalEnvironment(self.workspace, self.profile)

    @cached_property
    def supervision(self) -> Supervision:
        """The supervised services."""
        return Supervision(self.paths)

    @cached_property
    def terraform(self) -> Terraform:
        """Terraform over the environment's stack."""
        return Terraform(
            find_terraform(os.environ, cache=self.paths.state / "terraform-version.json"),
            self.paths.terraform,
            environ=os.environ,
            on_note=self.reporter.note,
            pass_fds=self.lock_descriptors,
        )

    def read_ahead(self) -> None:
        """Begin what planning and verifying will wait for, beside the rendering, which uses one core only."""
        if not (self.paths.terraform / "terraform.tfstate").exists():
            return
        terraform = self.terraform
        pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead = pool.submit(terraform.state_resources)
        pool.submit(_import_clients)
        pool.shutdown(wait=False)

    def recorded(self) -> list[StateResource]:
        """What Terraform's state has; what :meth:`read_ahead` found is given out once.

        Raises:
            TerraformError: the state cannot be read.
        """
        ahead, self._ahead = self._ahead, None
        return ahead.result() if ahead is not None else self.terraform.state_resources()

    def secrets(self) -> ResolvedSecrets:
        """Every secret of the environment, registered for redaction before anybody can print one.

        Raises:
            SecretsError: one cannot be had.
        """
        with self._store() as store:
            if self._escrowed:
                escrow.seed(store, self.paths.backup_key, self._escrowed)
            resolved = store.resolve(self.environment.references())
        _register(resolved)
        self._keep_pass_phrase(resolved)
        openbao.remember_versions(self.paths.secret_versions, resolved)
        return resolved

    def existing_secrets(self) -> ResolvedSecrets:
        """The secrets that are there already, registered for redaction; makes none.

        None at all, where the environment's own OpenBao does not serve.

        Raises:
            SecretsError: there is a store, and it refuses.
        """
        if not self.store_serves():
            return {}
        with self._store() as store:
            found = store.existing(self.environment.references())
        _register(found)
        return found

    def secrets_at_hand(self) -> ResolvedSecrets | None:
        """Every secret, or None where that takes the environment's own OpenBao to be started or changed.

        Raises:
            SecretsError: one cannot be had.
        """
        if not isinstance(self.profile.secrets, OpenBaoSecrets):
            return self.secrets()
        found = self.existing_secrets()
        if set(self.environment.references()) - set(found):
            return None
        self._keep_pass_phrase(found)
        openbao.remember_versions(self.paths.secret_versions, found)
        return found

    @property
    def _escrowed(self) -> str | None:
        """The backups' pass phrase, where the store that has it dies with the environment."""
        kept = self.profile.backups.enabled and not isinstance(self.profile.secrets, VaultSecrets)
        return self.profile.backups.passphrase if kept else None

    def _keep_pass_phrase(self, secrets: ResolvedSecrets) -> None:
        if self._escrowed:
            escrow.keep(self.paths.backup_key, self._escrowed, secrets[self._escrowed])

    def assumed_versions(self) -> dict[str, int]:
        """Which version of each secret is current, as far as that is known without asking any Vault."""
        references = self.environment.references()
        if isinstance(self.profile.secrets, GeneratedSecrets):
            found = self.existing_secrets()
            return {name: found[name].version if name in found else 1 for name in references}
        return openbao.remembered_versions(self.paths.secret_versions, references)

    def store_serves(self) -> bool:
        """Whether secrets can be asked for: always, but of an OpenBao that is not up or not set up."""
        if not isinstance(self.profile.secrets, OpenBaoSecrets):
            return True
        from renecinfra.secrets.bootstrap import is_complete

        return is_complete(self.profile, self.paths) and openbao.serves(self.profile, self.paths)

    @contextmanager
    def _store(self) -> Iterator[GeneratedStore | VaultStore]:
        """The profile's store; a login that was made for it is given up afterwards."""
        store = store_for(self.profile, self.paths, self.workspace.root)
        try:
            yield store
        finally:
            if not isinstance(store, GeneratedStore):
                store.client.close()

    @contextmanager
    def locked(self, command: str, argv: Sequence[str]) -> Iterator[Run]:
        """Hold the environment and journal the run until the block ends.

        Raises:
            LockedError: another run holds it.
        """
        self.paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with environment_lock(self.paths.lock, command, note=self.reporter.note) as lock:
            self.lock_descriptors = (lock.descriptor,)
            with Journal(self.paths.journal).running(command, argv, self.loaded.digest) as run:
                yield run


def _import_clients() -> None:
    """What the hooks and the verification use, imported while Terraform is being waited for."""
    import psycopg  # noqa: F401
    import redis  # noqa: F401
    import urllib3  # noqa: F401


def _register(resolved: ResolvedSecrets) -> None:
    for secret in resolved.values():
        redactor.register(secret.value)


_INSTEAD: Final = {
    "aws": "there are plan, up, down, status, logs, drift, deploy, rollback, backup, restore and drill; RDS "
    "fails over by itself",
    "kubernetes": "there are plan, up, down, status, logs, drift, deploy, rollback, backup, restore and "
    "drill; CloudNativePG fails over by itself",
}


def open_session(
    workspace: Workspace, name: str, reporter: Reporter, *, overrides: Sequence[str] = ()
) -> Session:
    """Load the profile of ``name`` and check that this version can run its platform.

    Raises:
        ProfileError: the profile or an override is wrong.
        ToolError: the platform is one that this version does not run.
    """
    loaded = load(workspace, name, overrides)
    kind = loaded.profile.platform.kind
    if kind != "local":
        raise ToolError(
            "platform-unsupported",
            f"this command is for local environments, and {name} runs on {kind}",
            hint=_INSTEAD[kind],
        )
    return Session(workspace, deployed.applied(loaded, workspace.paths(name).state), reporter)
