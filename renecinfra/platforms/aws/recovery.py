"""A database in RDS beside the one that runs, and the two changing names. One call of AWS's API at a time.

RDS restores to a new instance and never over one. An instance's host name is made of its identifier, so that
two that change identifiers change places for every client (Amazon RDS User Guide, "Renaming a DB instance").
What a restore has come to is read from the instances, and from nothing else: another machine can go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from renecinfra.errors import RestoreError
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import code_of, told
from renecinfra.platforms.aws.restored import restored_shape
from renecinfra.profiles.model import Profile

TAG: Final = "renecinfra:restore"
"""On an instance that a restore made: the restore's id."""
TARGET_TAG: Final = "renecinfra:restore-target"
_ABSENT: Final = ("DBInstanceNotFound", "DBInstanceNotFoundFault")
_ABSENT_SNAPSHOT: Final = ("DBSnapshotNotFound", "DBSnapshotNotFoundFault")
_DEAD: Final = frozenset(
    {
        "failed",
        "incompatible-network",
        "incompatible-option-group",
        "incompatible-parameters",
        "incompatible-restore",
        "inaccessible-encryption-credentials",
        "storage-full",
        "deleting",
    }
)
"""States that an instance does not leave by itself for the better."""
_USABLE: Final = ("available", "storage-optimization")
"""The second can last for hours after a restore, and takes nothing away (RDS User Guide, "status")."""
_POLL: Final = 15.0
_PATIENCE: Final = timedelta(hours=6)
"""For one change of one instance. A restore of terabytes takes hours."""

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Names:
    """The identifiers of one environment's instances, and those of a restore beside them."""

    base: str
    id: str

    @property
    def restored(self) -> str:
        """The restored instance, until it has the primary's name."""
        return f"{self.base}-restored-{self.id}"

    def kept(self, name: str) -> str:
        """What an instance that was there before the restore is named afterwards."""
        return f"{name}-before-{self.id}"

    def undone(self, name: str) -> str:
        """What an instance of the restore is named after it was undone."""
        return f"{name}-undone-{self.id}"


@dataclass(frozen=True, slots=True)
class Source:
    """What RDS can restore from: a running instance, or the backups that one left behind.

    ``size`` is the storage in bytes; ``earliest`` and ``latest`` are the ends of the window, None where no
    backup was taken yet.
    """

    identifier: str
    resource: str
    alive: bool
    size: int
    earliest: datetime | None
    latest: datetime | None


class Instances:
    """The instances of one environment in RDS, and what a restore does to them.

    Every method raises ToolError where AWS refuses or cannot be asked.
    """

    def __init__(self, profile: Profile, aws: Aws, *, poll: float = _POLL) -> None:
        self._profile, self._aws, self._poll = profile, aws, poll
        self.base: Final = values.name(profile)

    @property
    def own(self) -> tuple[str, ...]:
        """The names that the environment's instances have: the primary's, then the replicas'."""
        replicas = (f"{self.base}-replica-{n + 1}" for n in range(self._profile.database.replicas))
        return (self.base, *replicas)

    @property
    def _rds(self) -> Any:
        return self._aws.client("rds")

    def find(self, name: str) -> dict[str, Any] | None:
        """An instance as RDS describes it; None where there is none."""
        with told(f"asking RDS for {name}"):
            try:
                return dict(self._rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0])
            except Exception as error:
                if code_of(error) in _ABSENT:
                    return None
                raise

    def all(self) -> list[dict[str, Any]]:
        """Every instance whose name begins with the environment's, those of restores among them."""
        found: list[dict[str, Any]] = []
        with told("asking RDS for the instances"):
            for page in self._rds.get_paginator("describe_db_instances").paginate():
                found += page["DBInstances"]
        prefix = f"{self.base}-"
        return [
            dict(one)
            for one in found
            if one["DBInstanceIdentifier"] == self.base or one["DBInstanceIdentifier"].startswith(prefix)
        ]

    def source(self) -> Source:
        """What a restore would be made from.

        Raises:
            RestoreError: there is neither a primary nor a backup of one.
        """
        backups = self._automated_backups()
        primary = self.find(self.base)
        if primary is not None:
            window = next(
                (one for one in backups if one.get("DbiResourceId") == primary["DbiResourceId"]), None
            )
            earliest = (window or {}).get("RestoreWindow", {}).get("EarliestTime")
            return Source(
                self.base,
                str(primary["DbiResourceId"]),
                alive=True,
                size=int(primary["AllocatedStorage"]) * values.GIB,
                earliest=earliest or primary.get("InstanceCreateTime"),
                latest=primary.get("LatestRestorableTime"),
            )
        left = [one for one in backups if one.get("RestoreWindow", {}).get("LatestTime")]
        if not left:
            raise RestoreError(
                "restore-no-backup",
                f"RDS has no instance {self.base}, and no automated backup that one left behind",
                hint=f"`renecinfra backup {self._profile.environment} list` shows snapshots: --backup ID "
                "restores one; copies are in the backup region, see docs/runbooks/aws",
            )
        newest = max(left, key=lambda one: one["RestoreWindow"]["LatestTime"])
        window = newest["RestoreWindow"]
        size = int(newest.get("AllocatedStorage", 0)) * values.GIB
        return Source(
            self.base, str(newest["DbiResourceId"]), False, size, window["EarliestTime"], window["LatestTime"]
        )

    def _automated_backups(self) -> list[dict[str, Any]]:
        with told("asking RDS for automated backups"):
            answer = self._rds.describe_db_instance_automated_backups(
                Filters=[{"Name": "db-instance-id", "Values": [self.base]}]
            )
        return [dict(one) for one in answer.get("DBInstanceAutomatedBackups", [])]

    def snapshot(self, identifier: str) -> dict[str, Any] | None:
        """A snapshot of the environment's database; None where there is none."""
        with told(f"asking RDS for snapshot {identifier}"):
            try:
                answer = self._rds.describe_db_snapshots(DBSnapshotIdentifier=identifier)
            except Exception as error:
                if code_of(error) in _ABSENT_SNAPSHOT:
                    return None
                raise
        return next((dict(one) for one in answer["DBSnapshots"]), None)

    def snapshots(self) -> list[dict[str, Any]]:
        """Every snapshot of the environment's primary, the newest first."""
        found: list[dict[str, Any]] = []
        with told("asking RDS for snapshots"):
            for page in self._rds.get_paginator("describe_db_snapshots").paginate():
                found += page["DBSnapshots"]
        own = [dict(one) for one in found if self._is_of_primary(str(one["DBInstanceIdentifier"]))]
        return sorted(own, key=lambda one: str(one.get("SnapshotCreateTime", "")), reverse=True)

    def _is_of_primary(self, name: str) -> bool:
        # A snapshot keeps the name that the instance had when it was taken.
        return name == self.base or name.startswith((f"{self.base}-before-", f"{self.base}-restored-"))

    # --- changes

    def restore(
        self, names: Names, source: Source, at: datetime | None, snapshot: str | None, said: str
    ) -> None:
        """Begin a restore beside: from a snapshot, or from the source to ``at`` (None: the newest moment)."""
        shape = restored_shape(self._profile, self._aws, {TAG: names.id, TARGET_TAG: said})
        with told(f"restoring to {names.restored}"):
            if snapshot is not None:
                self._rds.restore_db_instance_from_db_snapshot(
                    DBSnapshotIdentifier=snapshot, DBInstanceIdentifier=names.restored, **shape
                )
                return
            # The name alone could be that of another instance by now, where the old one is gone.
            which = (
                {"SourceDBInstanceIdentifier": source.identifier}
                if source.alive
                else {"SourceDbiResourceId": source.resource}
            )
            moment = {"UseLatestRestorableTime": True} if at is None else {"RestoreTime": at}
            limit = {"MaxAllocatedStorage": values.storage_max(self._profile) // values.GIB}
            self._rds.restore_db_instance_to_point_in_time(
                TargetDBInstanceIdentifier=names.restored, **which, **moment, **limit, **shape
            )

    def wait(self, name: str, note: Note) -> dict[str, Any]:
        """Wait until an instance is available, as it is described then.

        Raises:
            RestoreError: it does not get there.
        """
        deadline = time.monotonic() + _PATIENCE.total_seconds()
        while True:
            found = self.find(name)
            status = str(found.get("DBInstanceStatus")) if found is not None else "not known yet"
            note(f"{name} is {status}")
            if found is not None and status in _USABLE:
                return found
            if status in _DEAD:
                raise RestoreError(
                    "restore-instance",
                    f"RDS says that {name} is {status}",
                    hint="see its events in the RDS console; `restore --abort` removes what was restored "
                    "beside",
                )
            if time.monotonic() > deadline:
                raise RestoreError(
                    "restore-slow",
                    f"{name} is {status} after {_PATIENCE.total_seconds() / 3600:g} hours",
                    hint="look at it in the RDS console; `restore --resume` goes on waiting",
                )
            time.sleep(self._poll)

    def rename(self, old: str, new: str, note: Note) -> None:
        """Give an instance another identifier and wait until it answers to it; nothing where it already does.

        Raises:
            RestoreError: there is no such instance, or another has the name.
        """
        there, taken = self.find(old), self.find(new)
        if there is not None and taken is not None:
            raise RestoreError(
                "restore-name-taken",
                f"{old} cannot be named {new}: RDS has an instance of this name",
                hint="two restores may have been at work; look at both in the RDS console",
            )
        if there is not None:
            # One that is being changed takes no other change.
            self.wait(old, note)
            with told(f"renaming {old} to {new}"):
                self._rds.modify_db_instance(
                    DBInstanceIdentifier=old, NewDBInstanceIdentifier=new, ApplyImmediately=True
                )
        self.wait(new, note)

    def take_over(self, name: str, note: Note) -> None:
        """Have RDS manage the administrator's password in the environment's key, keep backups, and take no
        setting later: a restore cannot ask for these itself (for PostgreSQL)."""
        found = self.wait(name, note)
        asked: dict[str, Any] = {"BackupRetentionPeriod": self._profile.backups.retention.days}
        if not found.get("MasterUserSecret"):
            asked |= {"ManageMasterUserPassword": True, "MasterUserSecretKmsKeyId": found["KmsKeyId"]}
        with told(f"bringing {name} to the profile"):
            self._rds.modify_db_instance(DBInstanceIdentifier=name, ApplyImmediately=True, **asked)
        self.wait(name, note)

    def snap(self, identifier: str, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        """Begin a snapshot of an instance."""
        with told(f"taking snapshot {identifier}"):
            answer = self._rds.create_db_snapshot(
                DBSnapshotIdentifier=identifier,
                DBInstanceIdentifier=name,
                Tags=[{"Key": key, "Value": value} for key, value in sorted(tags.items())],
            )
        return dict(answer["DBSnapshot"])

    def delete(self, name: str, *, snapshot: str | None) -> None:
        """Delete an instance for good, with a last snapshot where one is named; no error if it is gone."""
        found = self.find(name)
        if found is None or found.get("DBInstanceStatus") == "deleting":
            return
        with told(f"deleting {name}"):
            if found.get("DeletionProtection"):
                self._rds.modify_db_instance(
                    DBInstanceIdentifier=name, DeletionProtection=False, ApplyImmediately=True
                )
            last = (
                {"SkipFinalSnapshot": True}
                if snapshot is None
                else {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": snapshot}
            )
            self._rds.delete_db_instance(DBInstanceIdentifier=name, DeleteAutomatedBackups=False, **last)


def tags_of(instance: Mapping[str, Any]) -> dict[str, str]:
    """An instance's tags."""
    return {str(one["Key"]): str(one["Value"]) for one in instance.get("TagList", [])}


def restore_ids(instances: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids of the restores whose instances are there."""
    return sorted({tags_of(one)[TAG] for one in instances if TAG in tags_of(one)})
