"""A profile, a host and secrets that no machine has: the definitions are pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from renecinfra.platforms.local import access, backups
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.workspace import EnvironmentPaths, ServiceUser


@pytest.fixture
def profile() -> Profile:
    return Profile.model_validate({"environment": "test", "platform": {"kind": "local", "port_base": 20000}})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    names = ("postgres", "psql", "pgbouncer", "redis-server", "nginx", *backups.PROGRAMS)
    return Host(
        paths=EnvironmentPaths("test", tmp_path / "state", Path("/srv/test home")),
        user=ServiceUser("renecinfra", 990, 990, switched=True),
        python="/usr/bin/python3",
        binaries={name: f"/opt/bin/{name}" for name in names},
        cores=2,
        memory=1 << 32,
        workspace=tmp_path,
    )


@pytest.fixture
def renderer() -> Renderer:
    return Renderer(Path(__file__).parents[3] / "templates")


@pytest.fixture
def sizing() -> Sizing:
    return Sizing(
        api_replicas=2,
        api_processes=1,
        api_pool_size=5,
        worker_replicas=1,
        worker_concurrency=2,
        pooler_pool_size=17,
        connections_needed=32,
        connections_available=100,
    )


@pytest.fixture
def secrets(profile: Profile) -> ResolvedSecrets:
    references = (
        profile.database.password,
        profile.cache.password,
        access.REPLICATION_PASSWORD,
        access.POOLER_PASSWORD,
        access.MONITORING_PASSWORD,
        access.OPERATOR_PASSWORD,
        profile.backups.passphrase,
    )
    return {name: SecretVersion(Secret(f'se:cret\\"{name}'), 1) for name in references}
