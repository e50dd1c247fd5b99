"""Where an environment runs: the platform section, Terraform's backend, and where secrets come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from renecinfra.profiles.aws import AwsPlatform, KubernetesVersion, Region
from renecinfra.profiles.base import (
    HttpUrl,
    Name,
    Port,
    ProfileModel,
    Seconds,
    SecretRef,
    Text,
    matching,
)

# Offsets from local.port_base; a profile may give any of them a port of its own in local.ports.
PORT_OFFSETS = {
    "edge": 3,
    "edge_http": 0,
    "postgresql_primary": 10,
    "postgresql_replica": 11,
    "pgbouncer": 12,
    "redis_broker": 15,
    "redis_cache": 16,
    "site": 18,
    "ui": 19,
    "api": 20,  # api-1 is here, api-2 one above, and so on
    "worker_metrics": 40,
    "prometheus": 50,
    "alertmanager": 51,
    "node_exporter": 52,
    "blackbox_exporter": 53,
    "nginx_exporter": 54,
    "edge_status": 55,
    "postgresql_primary_exporter": 60,
    "postgresql_replica_exporter": 61,
    "pgbouncer_exporter": 62,
    "redis_broker_exporter": 63,
    "redis_cache_exporter": 64,
    "openbao": 70,
    "openbao_cluster": 71,
    "certificates": 72,
    "backups": 73,
}


class LocalPorts(ProfileModel):
    """Ports that differ from ``port_base`` plus the offset; every listener is on 127.0.0.1."""

    edge: Port | None = None
    edge_http: Port | None = None
    postgresql_primary: Port | None = None
    postgresql_replica: Port | None = None
    pgbouncer: Port | None = None
    redis_broker: Port | None = None
    redis_cache: Port | None = None
    site: Port | None = None
    ui: Port | None = None
    api: Port | None = None
    worker_metrics: Port | None = None
    prometheus: Port | None = None
    alertmanager: Port | None = None
    node_exporter: Port | None = None
    blackbox_exporter: Port | None = None
    nginx_exporter: Port | None = None
    edge_status: Port | None = None
    postgresql_primary_exporter: Port | None = None
    postgresql_replica_exporter: Port | None = None
    pgbouncer_exporter: Port | None = None
    redis_broker_exporter: Port | None = None
    redis_cache_exporter: Port | None = None
    openbao: Port | None = None
    openbao_cluster: Port | None = None
    certificates: Port | None = None
    backups: Port | None = None


class LocalPlatform(ProfileModel):
    """Supervised processes on this machine: no cloud, no containers, no account."""

    kind: Literal["local"]
    port_base: Annotated[int, Field(ge=1024, le=65000)] = Field(
        default=8440, description="Where the environment's ports begin; it takes the 74 from here."
    )
    ports: LocalPorts = LocalPorts()
    user: Annotated[
        str, Field(pattern=matching(r"^[a-z_][a-z0-9_-]{0,30}$", "the name of a system user"))
    ] = Field(
        default="renecinfra", description="The unprivileged user that services run as when started by root."
    )
    start_timeout: Seconds = Field(
        default="30s",  # type: ignore[assignment]  # validated like a value
        description="How long one service may take to become healthy.",
    )

    def port(self, name: str, instance: int = 0) -> int:
        """The port of a listener; ``instance`` counts from 0 where there are several (api)."""
        own: int | None = getattr(self.ports, name)
        return (own if own is not None else self.port_base + PORT_OFFSETS[name]) + instance


class ObjectStore(ProfileModel):
    """A bucket of any store that speaks S3, for base backups and the write-ahead log."""

    endpoint: HttpUrl = Field(description="The store's address.")
    bucket: Annotated[
        str,
        Field(
            pattern=matching(
                r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
                "an S3 bucket's name of 3 to 63 lower-case letters, digits, dots and hyphens",
            )
        ),
    ]
    access_key: SecretRef
    secret_key: SecretRef


class Exposure(ProfileModel):
    """How clients outside of the cluster reach the edge."""

    kind: Literal["load-balancer", "node-port"] = Field(
        default="load-balancer",
        description="A Service of type LoadBalancer (MetalLB and the like), or a port of every node.",
    )
    address_pool: Name | None = Field(
        default=None, description="MetalLB's address pool; its default if none."
    )
    https_port: Annotated[int, Field(ge=30000, le=32767)] = Field(
        default=30443, description="Of node-port: the nodes' port for HTTPS."
    )
    http_port: Annotated[int, Field(ge=30000, le=32767)] = Field(
        default=30080, description="Of node-port: the nodes' port for HTTP, which redirects."
    )


class KubernetesPlatform(ProfileModel):
    """An existing cluster of three or more nodes."""

    kind: Literal["kubernetes"]
    context: Text
    namespace: Name = "renec"
    storage_class: Text
    version_min: KubernetesVersion = "1.28"
    nodes_min: Annotated[int, Field(ge=1, le=1000)] = 3
    exposure: Exposure = Exposure()
    object_store: ObjectStore | None = Field(
        default=None, description="Where PostgreSQL's backups go; backups.enabled needs one."
    )


Platform = Annotated[LocalPlatform | AwsPlatform | KubernetesPlatform, Field(discriminator="kind")]


class LocalBackend(ProfileModel):
    """Terraform state in the environment's state directory."""

    kind: Literal["local"] = "local"


class S3Backend(ProfileModel):
    """Terraform state in a versioned, encrypted bucket with native locking."""

    kind: Literal["s3"]
    bucket: Annotated[
        str,
        Field(
            pattern=matching(
                r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
                "an S3 bucket's name of 3 to 63 lower-case letters, digits, dots and hyphens",
            )
        ),
    ]
    key: Text
    region: Region
    kms_key: Text


class Terraform(ProfileModel):
    """How Terraform runs for this environment."""

    backend: Annotated[LocalBackend | S3Backend, Field(discriminator="kind")] = LocalBackend()
    parallelism: Annotated[int, Field(ge=1, le=64)] = 10
    lock_timeout: Seconds = "30s"  # type: ignore[assignment]


class GeneratedSecrets(ProfileModel):
    """Secrets made at the first `up`, kept 0600 in the environment's state directory."""

    provider: Literal["generated"] = "generated"


class OpenBaoSecrets(ProfileModel):
    """Secrets in an OpenBao that runs as one more service of the environment; for the local platform."""

    provider: Literal["openbao"]
    timeout: Seconds = "5s"  # type: ignore[assignment]


class Delivery(ProfileModel):
    """How a cluster's workloads get their secrets."""

    kind: Literal["external-secrets", "applied"] = Field(
        default="external-secrets",
        description="External Secrets reads them from Vault in the cluster, or renecinfra reads them and "
        "applies Secrets from its memory.",
    )
    auth_mount: Text = Field(
        default="kubernetes", description="Where Vault's Kubernetes auth method for this cluster is mounted."
    )
    role: Text | None = Field(
        default=None,
        description="The role that the cluster's operators log in with; renec-ENVIRONMENT-cluster if none.",
    )
    refresh: Seconds = Field(
        default="5m",  # type: ignore[assignment]  # validated like a value
        description="How often External Secrets looks for new versions.",
    )


class VaultSecrets(ProfileModel):
    """Secrets in HashiCorp Vault or OpenBao."""

    provider: Literal["vault"]
    address: Annotated[
        str,
        Field(
            pattern=matching(
                r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$", "an http:// or https:// address without a path"
            )
        ),
    ]
    mount: Text = Field(default="kv", description="The KV mount (version 2).")
    path: Text = Field(description="The path in the mount that references are below.")
    namespace: Text | None = None
    ca_file: Text | None = Field(
        default=None,
        description="The CA of Vault's certificate (PEM), relative to the workspace; the system's if none.",
    )
    auth: Literal["token", "approle", "jwt", "kubernetes", "aws"] = "token"
    auth_mount: Text | None = Field(
        default=None, description="Where the auth method is mounted; at its own name if none."
    )
    role: Text | None = Field(
        default=None,
        description="The role to log in with; for approle its role-id, unless VAULT_ROLE_ID is set.",
    )
    audience: Text | None = Field(
        default=None,
        description="Whom a login is meant for: a CI job's token's audience, an AWS login's server id.",
    )
    timeout: Seconds = Field(
        default="5s",  # type: ignore[assignment]  # validated like a value
        description="How long one request to Vault may take.",
    )
    pki_mount: Text = Field(
        default="pki_int", description="The PKI mount that signs certificates for cert-manager."
    )
    delivery: Delivery = Delivery()


Secrets = Annotated[GeneratedSecrets | OpenBaoSecrets | VaultSecrets, Field(discriminator="provider")]
