from __future__ import annotations

import os
from pathlib import Path

import pytest

from renecinfra.recovery.protected import Policy, ProtectedDatabase, RepositoryPlace


@pytest.fixture
def policy() -> Policy:
    return Policy(
        rpo=300,
        rto=3600,
        retention=86400,
        archive_timeout=60,
        full="30 1 * * *",
        incremental="15 * * * *",
        incremental_wal=1 << 20,
        verify="0 3 * * *",
        drill="0 4 * * 0",
        drill_max_age=8 * 86400,
        receiver=True,
    )


@pytest.fixture
def database(tmp_path: Path, policy: Policy) -> ProtectedDatabase:
    return ProtectedDatabase(
        environment="test",
        stanza="test",
        programs={"pgbackrest": "/opt/bin/pgbackrest", "pg_waldump": "/opt/bin/pg_waldump"},
        config="/srv/a b/pgbackrest.conf",
        secrets="/srv/a b/secrets",
        data="/srv/a b/cluster",
        socket="/run/test",
        port=5432,
        database="renec",
        owner="renec",
        state=str(tmp_path),
        work=str(tmp_path),
        receiver=str(tmp_path / "receiver"),
        uid=os.getuid(),
        gid=os.getgid(),
        repositories=(RepositoryPlace(1, "posix", "/srv/repo"), RepositoryPlace(2, "s3", "s3://bucket/x")),
        policy=policy,
    )
