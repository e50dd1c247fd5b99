"""Where an environment's databases are, as its workloads on a cluster reach them. Pure data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from renecinfra.profiles.model import Profile

Peers = Sequence[dict[str, Any]]
"""NetworkPolicyPeers: whom the workloads may talk to there."""


@dataclass(frozen=True, slots=True)
class Store:
    """A server's address; ``tls`` is about Redis, PostgreSQL's is in ``Backends.database_options``."""

    host: str
    port: int
    peers: Peers
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Backends:
    """PostgreSQL (through a pooler where there is one) and both Redis.

    ``database_options`` is what follows the database's name in its URL, such as ``?sslmode=verify-full``.
    ``server`` is PostgreSQL itself, where the application's chart has to bring the pooler in front of it.
    ``proxies`` are the networks of load balancers whose word about a client's address is taken.
    """

    database: Store
    broker: Store
    cache: Store
    database_options: str = ""
    server: Store | None = None
    proxies: Sequence[str] = field(default=())

    def document(self, profile: Profile) -> dict[str, dict[str, Any]]:
        """As the application's chart takes them."""
        database = {
            "host": self.database.host,
            "port": self.database.port,
            "peers": list(self.database.peers),
            "name": profile.database.name,
            "user": profile.database.user,
            "options": self.database_options,
        }
        return {
            "database": database,
            "broker": _redis(self.broker, profile.cache.database),
            "cache": _redis(self.cache, profile.cache.database),
        }


def _redis(store: Store, database: int) -> dict[str, Any]:
    return {
        "host": store.host,
        "port": store.port,
        "peers": list(store.peers),
        "tls": store.tls,
        "database": database,
    }


def in_cluster() -> Backends:
    """Those of the chart renec-data."""
    pods = {
        "pooler": {"cnpg.io/poolerName": "renec-pooler"},
        "broker": {"app.kubernetes.io/name": "renec-redis-broker"},
        "cache": {"app.kubernetes.io/name": "renec-redis-cache"},
    }
    peers: dict[str, Peers] = {
        name: [{"podSelector": {"matchLabels": labels}}] for name, labels in pods.items()
    }
    return Backends(
        Store("renec-pooler", 5432, peers["pooler"]),
        Store("renec-redis-broker", 6379, peers["broker"]),
        Store("renec-redis-cache", 6379, peers["cache"]),
        # The pooler's certificate is of CloudNativePG's own authority, which the workloads do not have.
        "?sslmode=require",
    )
