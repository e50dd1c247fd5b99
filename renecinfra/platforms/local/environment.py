"""One environment on the local platform: its services, what is rendered for them, and what is dead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Final

from renecinfra.errors import ToolError
from renecinfra.platforms.local import (
    backups,
    certificates,
    databases,
    edge,
    monitoring,
    new_cluster,
    openbao,
    stores,
    workloads,
)
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.ports import listeners
from renecinfra.profiles.sizing import Sizing, size
from renecinfra.rendering import Bundle, RenderedFile, Renderer
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services import binaries, interpreter, manifest, ports
from renecinfra.services.definition import Layer, Service
from renecinfra.workspace import ServiceUser, Workspace, service_user

_PARTS: Final[tuple[ModuleType, ...]] = (
    openbao,
    certificates,
    new_cluster,
    databases,
    backups,
    stores,
    edge,
    workloads,
    monitoring,
)
_LAYERS: Final = list(Layer)
# Secrets that the services need besides those that the profile refers to.
_INTERNAL: Final = tuple(
    f"generated:{name}_password" for name in ("postgres", "replication", "pooler", "monitoring")
)
STACK: Final = "terraform"
"""Where the bundle has Terraform's files; the rest of it is below ``services``."""


@dataclass(frozen=True)
class LocalEnvironment:
    """A profile on this machine. Pure but for finding binaries and the user, which happens once."""

    workspace: Workspace
    profile: Profile

    @cached_property
    def host(self) -> Host:
        """This machine's facts.

        Raises:
            ToolError: a binary or the service user is missing.
        """
        user, python, programs = _programs(self.profile.local.user, self.profile.database.version)
        if self.profile.secrets.provider == "openbao":
            programs = {**programs, "bao": _openbao(python, user)}
        return Host(
            paths=self.workspace.paths(self.profile.environment),
            user=user,
            python=python,
            binaries=programs,
            cores=len(os.sched_getaffinity(0)),
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            workspace=self.workspace.root,
        )

    @cached_property
    def sizing(self) -> Sizing:
        """The numbers behind the profile's ``auto``."""
        return size(self.profile, self.host.cores)

    @cached_property
    def renderer(self) -> Renderer:
        """Renders from the workspace's templates."""
        return Renderer(self.workspace.templates)

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """Every service in the order of its layer."""
        found = [
            service
            for part in _PARTS
            for service in part.services(self.profile, self.host, self.renderer, self.sizing)
        ]
        return tuple(sorted(found, key=lambda service: (_LAYERS.index(service.layer), service.name)))

    def references(self) -> tuple[str, ...]:
        """Every secret that the environment needs, by reference."""
        own = {
            reference
            for service in self.services
            for reference in (*service.secrets, *service.reload_secrets)
        }
        return tuple(sorted(own | set(_INTERNAL) | _profile_references(self.profile)))

    def preflight(self) -> None:
        """What must hold before anything is started.

        Raises:
            ToolError: a port is taken, the disk is full, or a directory of the profile is not there.
        """
        wanted = {listener.name: listener.port for listener in listeners(self.profile)}
        ports.require_free(wanted, self.host.paths)
        _require_space(self.host)
        backups.require_places(self.profile, self.host)
        for service in self.services:
            directory = Path(service.directory)
            # What is below home is made when a service starts.
            if not directory.is_relative_to(self.host.paths.home) and not directory.is_dir():
                raise ToolError(
                    "workload-directory-missing",
                    f"{service.name} is to run in {service.directory}, which is not a directory",
                    hint="make it, or mend the workload's directory in the profile",
                )

    def bundle(self, versions: Mapping[str, int]) -> Bundle:
        """Everything that is rendered: the services' files and the stack with its variables. No secrets."""
        files: dict[str, RenderedFile] = dict(manifest.service_bundle(self.services, self.host, versions))
        files |= _stack(self.workspace.terraform / "stacks" / "local")
        variables = manifest.tfvars(self.services, self.host, versions)
        files[f"{STACK}/terraform.tfvars.json"] = RenderedFile(variables)
        return files

    def secret_files(self, secrets: ResolvedSecrets) -> dict[str, str]:
        """The 0600 files below etc/ that hold secrets, by path."""
        found: dict[str, str] = {}
        for part in _PARTS:
            found |= part.secret_files(self.profile, self.host, secrets)
        return found

    def address(self, service: str) -> str:
        """The Terraform address of a service."""
        layer = next(s.layer for s in self.services if s.name == service)
        return f'terraform_data.{layer.value}["{service}"]'


@lru_cache(maxsize=8)  # the same for every environment of a run
def _stack(directory: Path) -> Bundle:
    """Terraform's files as they are, without the tests beside them."""
    return MappingProxyType(
        {
            f"{STACK}/{source.name}": RenderedFile(source.read_text(encoding="utf-8"))
            for source in sorted(directory.glob("*.tf"))
        }
    )


@lru_cache(maxsize=8)  # the same for every environment of a run
def _programs(user_name: str, postgresql: int | None) -> tuple[ServiceUser, str, Mapping[str, str]]:
    user = service_user(user_name)
    return user, interpreter.host_python(user), binaries.find(postgresql_version=postgresql)


_openbao = lru_cache(maxsize=8)(binaries.find_openbao)


def _profile_references(profile: Profile) -> set[str]:
    references = {profile.database.password, profile.cache.password, profile.workloads.api.key}
    for receiver in profile.monitoring.receivers.values():
        if receiver.secret is not None:
            references.add(receiver.secret)
    return references


_SPACE_NEEDED: Final = 1 << 30


def _require_space(host: Host) -> None:
    directory = host.paths.home
    while not directory.exists():
        directory = directory.parent
    stats = os.statvfs(directory)
    free = stats.f_bavail * stats.f_frsize
    if free < _SPACE_NEEDED:
        raise ToolError(
            "disk-full",
            f"{free >> 20} MiB are free in {directory}; a local environment needs {_SPACE_NEEDED >> 20} MiB",
            hint="free some space, then run the command again",
        )
