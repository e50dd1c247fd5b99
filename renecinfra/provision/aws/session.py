"""What every command over an environment in AWS starts from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from renecinfra.journal import Journal, Run
from renecinfra.locking import environment_lock
from renecinfra.platforms.aws import stack
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.runs import StateRuns
from renecinfra.platforms.aws.state import StateStore
from renecinfra.profiles.aws import AwsPlatform
from renecinfra.profiles.loading import LoadedProfile, load
from renecinfra.profiles.model import Profile
from renecinfra.profiles.policy.secrets import references as references_of
from renecinfra.provision.remote_journal import RunStore, journaled
from renecinfra.redaction import redactor
from renecinfra.rendering import Renderer
from renecinfra.reporting import Reporter
from renecinfra.secrets.catalog import store_for
from renecinfra.secrets.generated import GeneratedStore
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.secrets.vault_store import VaultStore
from renecinfra.sensitive import Secret
from renecinfra.terraform.adapter import Terraform
from renecinfra.terraform.binary import find_terraform
from renecinfra.workspace import EnvironmentPaths, Workspace

_STAND_IN = Secret("a-stand-in-that-no-plan-keeps")
"""The password of a plan alone: Terraform asks for ephemeral values, and keeps none of them."""


@dataclass
class AwsSession:
    """One command's view of one environment in AWS. Parts are made when first needed."""

    workspace: Workspace
    loaded: LoadedProfile
    reporter: Reporter
    overrides: tuple[str, ...] = ()
    lock_descriptors: tuple[int, ...] = field(default=())

    @property
    def profile(self) -> Profile:
        """The profile after ``extends`` and overrides."""
        return self.loaded.profile

    @property
    def platform(self) -> AwsPlatform:
        """Its platform section."""
        return values.aws(self.profile)

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.profile.environment

    @cached_property
    def paths(self) -> EnvironmentPaths:
        """Where this machine keeps what it needs of the environment; nothing that is not made again."""
        return self.workspace.paths(self.name)

    @cached_property
    def aws(self) -> Aws:
        """AWS, as the profile names it."""
        return Aws(self.platform)

    @cached_property
    def state(self) -> StateStore:
        """Terraform's state in its bucket."""
        return StateStore(self.profile, self.aws)

    def terraform(self, password: Secret | None = None) -> Terraform:
        """Terraform over the stack; ``password`` is that of the caches, needed where something is applied."""
        environ = dict(os.environ)
        environ["TF_VAR_redis_password"] = (password or _STAND_IN).reveal()
        # Terraform must ask the same AWS as we do, whatever the caller's shell says.
        environ["AWS_REGION"] = self.platform.region
        environ.pop("AWS_DEFAULT_REGION", None)
        if self.platform.endpoint_url:
            environ["AWS_ENDPOINT_URL"] = self.platform.endpoint_url
        settings = self.profile.terraform
        return Terraform(
            find_terraform(os.environ, cache=self.paths.state / "terraform-version.json"),
            self.paths.terraform / stack.ROOT,
            environ=environ,
            on_note=self.reporter.note,
            pass_fds=self.lock_descriptors,
            parallelism=settings.parallelism,
            lock_timeout=settings.lock_timeout,
        )

    def write_stack(self, variables: dict[str, Any]) -> None:
        """Bring Terraform's directory to the profile."""
        renderer = Renderer(self.workspace.templates)
        self.paths.terraform.mkdir(parents=True, exist_ok=True, mode=0o700)
        stack.write(
            stack.bundle(self.profile, renderer, self.workspace.terraform, variables), self.paths.terraform
        )

    def secrets(self) -> ResolvedSecrets:
        """Every secret of the environment, registered for redaction before anybody can print one.

        Raises:
            SecretsError: one cannot be had.
        """
        with self._store() as store:
            found = store.resolve(set(references_of(self.profile).values()))
        for secret in found.values():
            redactor.register(secret.value)
        return found

    def password_version(self) -> int:
        """The version of the caches' password; takes no right to read it.

        Raises:
            SecretsError: it is not there, or Vault refuses.
        """
        reference = self.profile.cache.password
        with self._store() as store:
            if isinstance(store, VaultStore):
                return store.read_versions([reference])[reference]
            return store.resolve([reference])[reference].version

    def secret_versions(self) -> dict[str, int]:
        """The version of every secret; takes no right to read one.

        Raises:
            SecretsError: one is not there, or Vault refuses.
        """
        wanted = sorted(set(references_of(self.profile).values()))
        with self._store() as store:
            if isinstance(store, VaultStore):
                return dict(store.read_versions(wanted))
            return {reference: secret.version for reference, secret in store.resolve(wanted).items()}

    @contextmanager
    def _store(self) -> Iterator[GeneratedStore | VaultStore]:
        store = store_for(self.profile, self.paths, self.workspace.root)
        try:
            yield store
        finally:
            if isinstance(store, VaultStore):
                store.client.close()

    @cached_property
    def runs(self) -> RunStore:
        """Where everybody's runs are kept."""
        return StateRuns(self.state)

    @contextmanager
    def locked(self, command: str, argv: Sequence[str]) -> Iterator[Run]:
        """Hold the environment on this machine, and journal the run, until the block ends.

        Other machines are held off by the state's own lock, which Terraform takes.

        Raises:
            LockedError: another run of this machine holds it.
        """
        self.paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with environment_lock(self.paths.lock, command, note=self.reporter.note) as lock:
            self.lock_descriptors = (lock.descriptor,)
            with journaled(
                Journal(self.paths.journal),
                self.runs,
                self.reporter,
                command=command,
                argv=argv,
                profile=self.loaded.digest,
            ) as run:
                yield run


def open_aws(
    workspace: Workspace, name: str, reporter: Reporter, *, overrides: Sequence[str] = ()
) -> AwsSession | None:
    """The session of an environment in AWS; None where the environment runs on another platform.

    Raises:
        ProfileError: the profile or an override is wrong.
    """
    loaded = load(workspace, name, overrides)
    if loaded.profile.platform.kind != "aws":
        return None
    return AwsSession(workspace, loaded, reporter, tuple(overrides))
