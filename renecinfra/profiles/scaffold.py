"""Writing a new profile: minimal, commented and valid, with ports that no other profile has."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from renecinfra.errors import ProfileError
from renecinfra.profiles import inheritance
from renecinfra.profiles.catalog import environments
from renecinfra.profiles.document import compose
from renecinfra.profiles.loading import load
from renecinfra.profiles.platform import PORT_OFFSETS
from renecinfra.profiles.schema import HEADER
from renecinfra.profiles.tree import find, plain
from renecinfra.workspace import Workspace

PlatformKind = Literal["local", "aws", "kubernetes"]
# An environment takes 73 ports; a hundred apart is easier to remember.
_STEP: Final = 100
_FIRST: Final = 8440
_LAST: Final = 32_000  # below Linux's usual range of ports for outgoing connections

_LOCAL: Final = """\
platform:
  kind: local
  # The edge is three above this, PostgreSQL ten, Prometheus fifty: 73 ports from here are this environment's.
  port_base: {port_base}

harvest:
  # A stand-in for the register. For the real site name base_url and keep download_delay at 500ms or more.
  first_run: true
  download_delay: 20ms
  fake_site: {{enabled: true, latency_scale: 0.02}}

monitoring:
  scrape_interval: 2s
  alert_for: 10s
  group_wait: 1s
  receivers:
    everyone: {{kind: log}}
"""
_CLUSTER: Final = """\
secrets:
  provider: vault
  address: https://vault.example.org:8200
  path: renec/{name}

database:
  password: vault:database#password

cache:
  password: vault:redis#password

edge:
  host: {name}.renec.example.org
  tls: {tls}

workloads:
  api: {{image: "registry.example.org/renec/api:1.4.0", key: "vault:api#key"}}
  worker: {{image: "registry.example.org/renec/worker:1.4.0"}}
  beat: {{image: "registry.example.org/renec/worker:1.4.0"}}
  migrations: {{image: "registry.example.org/renec/api:1.4.0"}}
"""
_AWS: Final = """\
# Account 123456789012 is the one that AWS's own documentation uses; example.org is reserved for examples.
platform:
  kind: aws
  account: "123456789012"
  region: us-east-1
  backup_region: us-west-2
  # Route 53's zone of edge.host, who administers the cluster, and who is told when it does not answer.
  hosted_zone: Z0123456789EXAMPLE
  administrators: {{platform: "arn:aws:iam::123456789012:role/platform"}}
  alarm_emails: [oncall@example.org]
  monthly_budget: 1000

terraform:
  backend:
    kind: s3
    bucket: renec-{name}-terraform-state
    key: renec/{name}.tfstate
    region: us-east-1
    kms_key: alias/renec-{name}-terraform

"""
_AWS_MACHINES: Final = {
    "password: vault:database#password": "  version: 16\n  instance_type: db.t4g.medium",
    "password: vault:redis#password": "  broker: {{instance_type: cache.t4g.small}}\n"
    "  cache: {{instance_type: cache.t4g.small}}",
}
_KUBERNETES: Final = """\
# Host names below example.org are examples.
platform:
  kind: kubernetes
  context: {name}
  storage_class: local-path
  object_store:
    endpoint: https://s3.example.org
    bucket: renec-{name}-backups
    access_key: vault:backups#access_key
    secret_key: vault:backups#secret_key

"""


def new(
    workspace: Workspace,
    name: str,
    platform: PlatformKind = "local",
    extends: Sequence[str] = (),
    port_base: int | None = None,
) -> Path:
    """Write environments/NAME.yaml and return its path.

    What it ``extends`` (``base`` unless named, where there is one) may already bring the platform and the
    rest: then only the name, and the ports of a local environment, are written. ``port_base`` is chosen so
    that no local profile of the workspace has the same ports, unless it is given.

    Raises:
        ProfileError: the name is no name or is taken, a base is missing or of another platform, or the
            profile would not be valid; nothing is left behind then.
    """
    bases = tuple(extends) or tuple(base for base in ("base",) if base in inheritance.names(workspace))
    target = workspace.environments / f"{name}.yaml"
    _check_name(workspace, name, target)
    inherited = _inherited_platform(workspace, bases)
    if inherited not in (None, platform):
        raise ProfileError(
            "profile-contradiction",
            f"{' and '.join(bases)} runs on {inherited}, not on {platform}",
            hint=f"name --platform {inherited}, or extend another profile",
        )
    if platform != "local" and port_base is not None:
        message = f"an environment on {platform} has no port_base"
        raise ProfileError("profile-contradiction", message, hint="leave it out")
    ports = port_base if port_base is not None else free_port_base(workspace)
    text = _text(name, platform, bases, ports, whole=inherited is None)
    _write_new(target, text)
    try:
        load(workspace, name, environ={})
    except ProfileError:
        target.unlink()
        raise
    return target


def free_port_base(workspace: Workspace, environ: Mapping[str, str] | None = None) -> int:
    """The first port base at which a local environment meets no other of the workspace.

    Raises:
        ProfileError: there is none.
    """
    span = max(PORT_OFFSETS.values()) + 1
    taken = [one.port_base for one in environments(workspace, environ or {}) if one.port_base is not None]
    for base in range(_FIRST, _LAST, _STEP):
        if all(abs(base - other) >= span for other in taken):
            return base
    raise ProfileError(
        "profile-ports", "no ports are left for another local environment", hint="name port_base"
    )


def _check_name(workspace: Workspace, name: str, target: Path) -> None:
    if name in inheritance.names(workspace) or target.exists():
        raise ProfileError(
            "profile-exists",
            f"{workspace.environments.name}/{name}.yaml is there already",
            hint="choose another name, or change that file",
        )
    try:
        inheritance.read(workspace, name)
    except ProfileError as error:
        if error.id != "profile-missing":
            raise


def _inherited_platform(workspace: Workspace, bases: Sequence[str]) -> object:
    found = None
    for base in bases:
        root, _ = inheritance.resolve(workspace, base)
        node = find(root, ["platform", "kind"])
        found = plain(node) if node is not None else found
    return found


def _text(name: str, platform: PlatformKind, bases: Sequence[str], port_base: int, *, whole: bool) -> str:
    extends = {0: "", 1: f"extends: {''.join(bases)}\n"}.get(len(bases), f"extends: [{', '.join(bases)}]\n")
    head = f"{HEADER}\n{extends}environment: {name}\n"
    if not whole:
        if platform != "local":
            return head
        return f"{head}\nplatform:\n  port_base: {port_base}\n"
    body = {"local": _LOCAL, "aws": _AWS + _CLUSTER, "kubernetes": _KUBERNETES + _CLUSTER}
    tls = "acm" if platform == "aws" else "cert-manager"
    for line, more in _AWS_MACHINES.items():
        body["aws"] = body["aws"].replace(line, f"{line}\n{more}")
    return head + "\n" + body[platform].format(name=name, port_base=port_base, tls=tls)


def _write_new(target: Path, text: str) -> None:
    """Write whole or not at all, and never over another file: a hard link does not replace one."""
    assert compose(text, str(target)) is not None
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), 0o644)
        os.link(temporary, target)
    except FileExistsError:
        raise ProfileError(
            "profile-exists", f"{target.name} is there already", hint="choose another name"
        ) from None
    finally:
        Path(temporary).unlink()
