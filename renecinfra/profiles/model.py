"""The typed profile: what an environment is, whole. Frozen, strict, and free of I/O.

Sections live beside this module by theme: ``platform``, ``data``, ``workloads``, ``operations``.
Cross-field rules that concern more than one section are in ``policy``.
"""

from __future__ import annotations

from pydantic import Field

from renecinfra.profiles.base import Name, ProfileModel, Text
from renecinfra.profiles.data import Cache, Database
from renecinfra.profiles.operations import Backups, Deployment, Hooks, Monitoring, Protection, Releases
from renecinfra.profiles.platform import GeneratedSecrets, LocalPlatform, Platform, Secrets, Terraform
from renecinfra.profiles.workloads import Edge, Harvest, Workloads


class Profile(ProfileModel):
    """An environment, as its YAML says it after ``extends`` and overrides."""

    environment: Name = Field(description="The environment's name; the file is environments/NAME.yaml.")
    description: Text | None = None
    platform: Platform
    terraform: Terraform = Terraform()
    secrets: Secrets = GeneratedSecrets()
    database: Database = Database()
    cache: Cache = Cache()
    edge: Edge = Edge()
    workloads: Workloads = Workloads()
    harvest: Harvest = Harvest()
    monitoring: Monitoring = Monitoring()
    backups: Backups = Backups()
    hooks: Hooks = Hooks()
    releases: Releases = Releases()
    deployment: Deployment = Deployment()
    protection: Protection = Protection()

    @property
    def local(self) -> LocalPlatform:
        """The local platform's section; only for code that runs for the local platform."""
        assert isinstance(self.platform, LocalPlatform), f"{self.environment} does not run on local"
        return self.platform
