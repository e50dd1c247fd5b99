"""Which listeners a local environment has, and on which ports. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import PORT_OFFSETS


@dataclass(frozen=True, slots=True)
class Listener:
    """Something that listens on 127.0.0.1; ``setting`` is the path of the profile that decides the port."""

    name: str
    port: int
    setting: tuple[str, ...]


def listeners(profile: Profile) -> list[Listener]:
    """Every listener of a local environment, in the order of PORT_OFFSETS; api and worker have several."""
    return list(_listeners(profile))


def _listeners(profile: Profile) -> Iterator[Listener]:
    local = profile.local
    workloads = profile.workloads
    absent = {"postgresql_replica", "postgresql_replica_exporter"} if not profile.database.replicas else set()
    absent |= {"site"} if not profile.harvest.fake_site.enabled else set()
    absent |= {"ui"} if not workloads.ui.enabled else set()
    absent |= (
        {"openbao", "openbao_cluster", "certificates"} if profile.secrets.provider != "openbao" else set()
    )
    absent |= {"backups"} if not profile.backups.enabled else set()
    counts = {
        "api": workloads.api.replicas if workloads.api.enabled else 0,
        "worker_metrics": workloads.worker.replicas if workloads.worker.enabled else 0,
    }
    for name in PORT_OFFSETS:
        if name in absent:
            continue
        own = getattr(local.ports, name) is not None
        for instance in range(counts.get(name, 1)):
            setting: tuple[str, ...] = ("platform", "port_base")
            if own:
                setting = ("platform", "ports", name)
            elif instance:
                setting = ("workloads", "api" if name == "api" else "worker", "replicas")
            label = f"{name}-{instance + 1}" if name in counts else name
            yield Listener(label, local.port(name, instance), setting)
