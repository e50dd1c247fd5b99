"""Where an environment keeps its data: PostgreSQL with its pooler, and the two Redis."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from renecinfra.profiles.base import (
    Image,
    Positive,
    PositiveDuration,
    ProfileModel,
    Seconds,
    SecretRef,
    Size,
    Text,
    matching,
)

# Lower case only, so that no quoting is ever needed in SQL.
Identifier = Annotated[
    str,
    Field(
        pattern=matching(
            r"^[a-z_][a-z0-9_]{0,62}$",
            "a PostgreSQL name of lower-case letters, digits and _ that does not begin with a digit",
        )
    ),
]


class Pooler(ProfileModel):
    """PgBouncer between the workloads and the primary."""

    mode: Literal["transaction", "session"] = Field(
        default="transaction",
        description="Whether a client keeps its server connection for one transaction or for its session.",
    )
    pool_size: Positive | Literal["auto"] = Field(
        default="auto", description="Connections that PgBouncer may open to the primary."
    )
    max_client_connections: Positive = Field(
        default=500, description="Connections that PgBouncer accepts from the workloads."
    )
    login_retry: Seconds = Field(
        default="1s",  # type: ignore[assignment]  # validated like a value
        description="How soon PgBouncer tries a primary again that was down.",
    )
    query_wait_timeout: Seconds = Field(
        default="15s",  # type: ignore[assignment]
        description="How long a client waits for a server connection before it gets an error.",
    )
    image: Image = Field(
        default="ghcr.io/cloudnative-pg/pgbouncer:1.25.0", description="On AWS, PgBouncer's image."
    )


class Database(ProfileModel):
    """PostgreSQL: a primary, streaming replicas, and what they are allowed to use."""

    name: Identifier = "renec"
    user: Identifier = "renec"
    password: SecretRef = "generated:database_password"  # noqa: S105  # a reference
    version: Annotated[int, Field(ge=14, le=18)] | None = Field(
        default=None, description="PostgreSQL's major version; on local, none means the newest installed."
    )
    replicas: Annotated[int, Field(ge=0, le=5)] = Field(
        default=1, description="Streaming replicas; local runs at most one."
    )
    max_connections: Annotated[int, Field(ge=20, le=5000)] = Field(
        default=100, description="Connections that PostgreSQL accepts in all."
    )
    reserved_connections: Annotated[int, Field(ge=3, le=500)] = Field(
        default=15, description="Kept free for replication, monitoring, migrations and people."
    )
    shared_buffers: Size = "128Mi"  # type: ignore[assignment]
    work_mem: Size = "8Mi"  # type: ignore[assignment]
    maintenance_work_mem: Size = "64Mi"  # type: ignore[assignment]
    statement_timeout: PositiveDuration = Field(
        default="30s",  # type: ignore[assignment]
        description="The longest that one statement of the application may run; the application sets none.",
    )
    storage: Size = Field(
        default="20Gi",  # type: ignore[assignment]
        description="On AWS and Kubernetes, the volume's size.",
    )
    instance_type: Text | None = Field(default=None, description="On AWS, the RDS instance class.")
    pooler: Pooler = Pooler()


class RedisInstance(ProfileModel):
    """One Redis and its memory."""

    max_memory: Size = "128Mi"  # type: ignore[assignment]
    max_clients: Positive = 500
    instance_type: Text | None = Field(default=None, description="On AWS, the ElastiCache node type.")


class Cache(ProfileModel):
    """Two Redis: the broker is durable and never evicts, the cache evicts and is not backed up."""

    broker: RedisInstance = RedisInstance()
    cache: RedisInstance = RedisInstance()
    password: SecretRef = "generated:redis_password"  # noqa: S105 - a reference
    image: Image = Field(
        default="docker.io/library/redis:7.4.6-alpine", description="On Kubernetes, of both Redis."
    )
    database: Annotated[int, Field(ge=0, le=15)] = Field(
        default=0, description="The Redis database number; a Redis has 16 unless configured otherwise."
    )
