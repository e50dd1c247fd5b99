"""Terraform's state in its bucket: its lock, which renecinfra may touch it, and its older versions."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from renecinfra import __version__
from renecinfra.errors import ToolError, UsageError
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import code_of, told
from renecinfra.profiles.model import Profile

LONGEST_RUN: Final = timedelta(hours=6)
"""No apply lasts longer: CI ends its jobs by then, and credentials end before."""
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NoSuchBucket"})
_HISTORY: Final = 50
_STAMP: Final = ".renecinfra-version"
# Go's time, to the nanosecond: 2026-11-24T17:30:48.447928813Z.
_FRACTION: Final = re.compile(r"\.[0-9]+")


@dataclass(frozen=True, slots=True)
class StateLock:
    """The lock that Terraform left beside the state. ``who`` is USER@HOST, as Terraform writes it."""

    id: str
    operation: str
    who: str
    created: datetime | None
    terraform: str

    @property
    def host(self) -> str:
        """The machine that it was taken on."""
        return self.who.rpartition("@")[2]

    @property
    def age(self) -> timedelta | None:
        """How long it has been held."""
        return datetime.now(UTC) - self.created if self.created else None

    def life(self, *, held_here: bool, host: str | None = None) -> tuple[bool, str]:
        """Whether its run can still be alive, and why.

        ``held_here`` says whether a run of this workspace holds the environment on this machine.
        """
        here = self.host == (host or socket.gethostname())
        if here and held_here:
            return True, "a run on this machine holds the environment at this moment"
        if self.age is not None and self.age > LONGEST_RUN:
            hours = int(self.age.total_seconds() // 3600)
            return (
                False,
                f"it is {hours} hours old, and no run takes longer than {LONGEST_RUN.seconds // 3600}",
            )
        if here:
            return False, "it was taken on this machine, where no run holds the environment any more"
        return (
            True,
            f"it was taken on {self.host or 'an unknown machine'}, which cannot be looked at from here",
        )


@dataclass(frozen=True, slots=True)
class StateVersion:
    """A state as it once was. ``serial`` counts up with each change."""

    id: str
    at: datetime
    size: int
    serial: int
    terraform: str
    resources: int
    current: bool

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "version": self.id,
            "at": self.at.isoformat(),
            "bytes": self.size,
            "serial": self.serial,
            "terraform": self.terraform,
            "resources": self.resources,
            "current": self.current,
        }


class StateStore:
    """The state's objects. Every method raises ToolError for what AWS refuses."""

    def __init__(self, profile: Profile, aws: Aws) -> None:
        self._aws = aws
        state = values.backend(profile)
        self.bucket, self.key, self._region = state.bucket, state.key, state.region
        self._kms = values.state_key_arn(profile)

    def require_version(self) -> None:
        """Refuse to work where a newer renecinfra has worked.

        Raises:
            ToolError: ``aws-state-newer``.
        """
        stamp = self._document(f"{self.key}{_STAMP}")
        newest = str(stamp.get("renecinfra", "0")) if stamp else "0"
        if _numbers(newest) > _numbers(__version__):
            raise ToolError(
                "aws-state-newer",
                f"renecinfra {newest} has worked on this environment, and this is {__version__}",
                hint=f"install renecinfra {newest} or later; nothing was changed",
            )

    def stamp(self) -> None:
        """Note that this version has worked on the environment; an older one refuses from now on."""
        body = {"renecinfra": __version__, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        self.put_beside(_STAMP, json.dumps(body).encode())

    def put_beside(self, suffix: str, body: bytes) -> None:
        """Write an object beside the state, encrypted as it is; ``suffix`` follows the state's own key."""
        with told("writing beside the state"):
            self._s3().put_object(
                Bucket=self.bucket,
                Key=f"{self.key}{suffix}",
                Body=body,
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=self._kms,
            )

    def beside(self, prefix: str) -> list[str]:
        """The suffixes of the objects beside the state that begin with ``prefix``, in their order."""
        with told("listing what is beside the state"):
            pages = self._s3().get_paginator("list_objects_v2")
            found = [
                str(one["Key"]).removeprefix(self.key)
                for page in pages.paginate(Bucket=self.bucket, Prefix=f"{self.key}{prefix}")
                for one in page.get("Contents", [])
            ]
        return sorted(found)

    def read_beside(self, suffix: str) -> bytes:
        """An object beside the state."""
        with told("reading what is beside the state"):
            return bytes(self._s3().get_object(Bucket=self.bucket, Key=f"{self.key}{suffix}")["Body"].read())

    def lock(self) -> StateLock | None:
        """The lock that is held, or was left behind."""
        found = self._document(f"{self.key}.tflock")
        if found is None:
            return None
        return StateLock(
            id=str(found.get("ID", "")),
            operation=str(found.get("Operation", "")),
            who=str(found.get("Who", "")),
            created=_time(str(found.get("Created", ""))),
            terraform=str(found.get("Version", "")),
        )

    def history(self) -> list[StateVersion]:
        """The newest versions of the state, newest first; each is read for what it holds."""
        with told("listing the versions of the state"):
            listed = self._s3().list_object_versions(Bucket=self.bucket, Prefix=self.key)
        own = [version for version in listed.get("Versions", []) if version["Key"] == self.key]
        newest = sorted(own, key=lambda version: version["LastModified"], reverse=True)[:_HISTORY]
        found = []
        for version in newest:
            state = self.read(str(version["VersionId"]))
            found.append(
                StateVersion(
                    id=str(version["VersionId"]),
                    at=version["LastModified"],
                    size=int(version["Size"]),
                    serial=int(state.get("serial", 0)),
                    terraform=str(state.get("terraform_version", "")),
                    resources=len(addresses(state)),
                    current=bool(version["IsLatest"]),
                )
            )
        return found

    def current(self) -> dict[str, Any]:
        """The state as it is; empty where there is none yet. It is never shown."""
        return self._document(self.key) or {}

    def read(self, version: str) -> dict[str, Any]:
        """A version of the state. It holds what Terraform marks as sensitive: it is never shown.

        Raises:
            UsageError: there is no such version.
        """
        with told("reading a version of the state"):
            try:
                answer = self._s3().get_object(Bucket=self.bucket, Key=self.key, VersionId=version)
            except Exception as error:
                if code_of(error) in (*_ABSENT, "NoSuchVersion", "InvalidArgument"):
                    raise UsageError(
                        "state-version-unknown",
                        f"the state has no version {version}",
                        hint="`renecinfra state history ENV` lists them",
                    ) from None
                raise
            return _parsed(answer["Body"].read())

    def _document(self, key: str) -> dict[str, Any] | None:
        with told(f"reading {key}"):
            try:
                body = self._s3().get_object(Bucket=self.bucket, Key=key)["Body"].read()
            except Exception as error:
                if code_of(error) in _ABSENT:
                    return None
                raise
        return _parsed(body)

    def _s3(self) -> Any:
        return self._aws.client("s3", self._region)


def addresses(state: Mapping[str, Any]) -> set[str]:
    """The addresses of the resources that a state holds."""
    found = set()
    for resource in state.get("resources", []):
        if resource.get("mode") != "managed":
            continue
        base = f"{resource['type']}.{resource['name']}"
        prefix = f"{resource['module']}." if resource.get("module") else ""
        for instance in resource.get("instances", []):
            index = instance.get("index_key")
            found.add(f"{prefix}{base}{'' if index is None else f'[{json.dumps(index)}]'}")
    return found


def password_version(state: Mapping[str, Any]) -> int:
    """The version of the password that the caches have; 0 where there are none."""
    versions = [
        instance["attributes"].get("auth_token_wo_version")
        for resource in state.get("resources", [])
        if resource.get("type") == "aws_elasticache_replication_group"
        for instance in resource.get("instances", [])
    ]
    return max((version for version in versions if isinstance(version, int)), default=0)


def successor(older: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """The older state as the newest one: Terraform takes no state whose serial goes back.

    Raises:
        ToolError: the two are not of one lineage.
    """
    if older.get("lineage") != current.get("lineage"):
        raise ToolError(
            "state-lineage",
            "the older state is of another environment: its lineage is not that of the current one",
            hint="choose a version with the same lineage",
        )
    return {**older, "serial": int(current.get("serial", 0)) + 1}


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ToolError(
            "state-unreadable",
            "what is beside the state, or the state itself, is no JSON",
            hint="`renecinfra state history ENV` lists older versions",
        )
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(_FRACTION.sub("", text))
    except ValueError:
        return None
