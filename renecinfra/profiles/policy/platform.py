"""What the platform has: ports, TLS, Terraform's backend, and things that one platform cannot do."""

from __future__ import annotations

from collections.abc import Iterator

from renecinfra.profiles.aws import AwsPlatform
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform
from renecinfra.profiles.policy.rule import Rule, Violation, is_cluster, is_loopback
from renecinfra.profiles.ports import Listener, listeners

_PORT_MAX = 65535
_PORT_PRIVILEGED = 1024
_TLS = {"local": ("local-ca",), "aws": ("acm", "cert-manager"), "kubernetes": ("cert-manager",)}
_PROTECTED_NODES = 3


def ports(profile: Profile) -> Iterator[Violation]:
    """Two listeners on one port, a port that does not exist, or one that only root may take."""
    if is_cluster(profile):
        return
    taken: dict[int, Listener] = {}
    for listener in listeners(profile):
        blamed, other = listener, taken.setdefault(listener.port, listener)
        if _guilt(other) > _guilt(listener):
            blamed, other = other, listener
        name, port, path = blamed.name, blamed.port, blamed.setting
        where = ".".join(path)
        if port > _PORT_MAX:
            message = f"{where} puts {name} on port {port}, above {_PORT_MAX}"
            yield Violation("profile-ports", path, message, "choose a lower port")
        elif port < _PORT_PRIVILEGED:
            message = f"{where} puts {name} on port {port}, which only root may take"
            hint = f"choose a port from {_PORT_PRIVILEGED}: services run unprivileged"
            yield Violation("profile-ports", path, message, hint)
        elif other is not blamed:
            message = f"{where} puts {name} on port {port}, where {other.name} is"
            yield Violation("profile-ports", path, message, "choose another port")


def _guilt(listener: Listener) -> int:
    """Who moved onto whom: a port of its own before a replica too many, and that before the plain order."""
    return ("port_base", "worker", "api", "ports").index(listener.setting[1])


def tls(profile: Profile) -> Iterator[Violation]:
    """A certificate source that the platform does not have."""
    kind, possible = profile.platform.kind, _TLS[profile.platform.kind]
    if profile.edge.tls not in possible:
        message = f"edge.tls must be {' or '.join(possible)} on {kind}"
        yield Violation("profile-tls", ("edge", "tls"), message, f"write `tls: {possible[0]}`")


def host(profile: Profile) -> Iterator[Violation]:
    """An edge on a cluster that only the cluster's own machines would reach."""
    if is_cluster(profile) and is_loopback(profile.edge.host):
        message = f"edge.host is {profile.edge.host}, which nobody outside reaches on {profile.platform.kind}"
        yield Violation("profile-unreachable", ("edge", "host"), message, "name the public host")


def backend(profile: Profile) -> Iterator[Violation]:
    """Terraform state in a bucket for an environment that has no account, or a cluster's on one laptop."""
    kind = profile.terraform.backend.kind
    if kind == "s3" and not is_cluster(profile):
        message = "terraform.backend.kind must be local on the local platform"
        yield Violation("profile-backend", ("terraform", "backend", "kind"), message, "take the backend away")
    if kind == "local" and profile.protection.protected and profile.platform.kind == "kubernetes":
        message = "terraform.backend.kind must be s3 for a protected environment: one laptop must not hold it"
        yield Violation("profile-backend", ("terraform", "backend", "kind"), message, "name an S3 backend")


def local(profile: Profile) -> Iterator[Violation]:
    """What supervised processes on one machine cannot do."""
    if is_cluster(profile):
        if profile.harvest.fake_site.enabled:
            message = "harvest.fake_site.enabled must be false: the fake site runs on local only"
            yield Violation(
                "profile-local-only", ("harvest", "fake_site", "enabled"), message, "name harvest.base_url"
            )
        return
    if profile.database.replicas > 1:
        message = (
            f"database.replicas must be at most 1 on local, which has no room for {profile.database.replicas}"
        )
        yield Violation("profile-local", ("database", "replicas"), message, "set it to 1 or 0")
    for name in ("api", "ui", "worker"):
        if getattr(profile.workloads, name).replicas_max is not None:
            message = f"workloads.{name}.replicas_max has no effect on local, which does not scale by itself"
            path = ("workloads", name, "replicas_max")
            yield Violation("profile-local", path, message, f"set workloads.{name}.replicas instead")


def nodes(profile: Profile) -> Iterator[Violation]:
    """A protected environment that one lost node or zone takes down."""
    platform = profile.platform
    if not profile.protection.protected or platform.kind == "local":
        return
    if platform.nodes_min < _PROTECTED_NODES:
        message = f"platform.nodes_min must be at least {_PROTECTED_NODES} for a protected environment"
        yield Violation("profile-protected", ("platform", "nodes_min"), message, "raise it")
    if isinstance(platform, AwsPlatform) and platform.nodes_max < platform.zones:
        message = f"platform.nodes_max must be at least platform.zones ({platform.zones})"
        yield Violation("profile-protected", ("platform", "nodes_max"), message, "raise it")


def backups(profile: Profile) -> Iterator[Violation]:
    """Backups of a cluster's own PostgreSQL without a place for them, or a place for none."""
    platform = profile.platform
    if not isinstance(platform, KubernetesPlatform):
        return
    if profile.backups.enabled and platform.object_store is None:
        message = "platform.object_store is missing: without it PostgreSQL's backups have no place"
        hint = "name the bucket, or set backups.enabled to false"
        yield Violation("profile-backups", ("platform", "object_store"), message, hint)


RULES: tuple[Rule, ...] = (ports, tls, host, backend, local, nodes, backups)
