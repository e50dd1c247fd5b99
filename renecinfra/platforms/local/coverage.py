"""What of an environment's data is backed up, how, and what deliberately is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from renecinfra.profiles.base import format_duration
from renecinfra.profiles.model import Profile


@dataclass(frozen=True, slots=True)
class Coverage:
    """One kind of data: whether backups have it, and by which means or for which reason not."""

    what: str
    covered: bool
    how: str

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {"what": self.what, "covered": self.covered, "how": self.how}


def coverage(profile: Profile) -> tuple[Coverage, ...]:
    """All data that a local environment keeps."""
    backups = profile.backups
    wal = f"within {format_duration(backups.archive_timeout)} in the archive"
    if backups.receiver:
        wal = f"streamed as it is written, and {wal}"
    return (
        Coverage("PostgreSQL", True, f"full and incremental backups; WAL {wal}"),
        Coverage("Redis broker", True, "its append-only file, with each backup of the database"),
        Coverage("Redis cache", False, "it can forget everything: it is made again from the database"),
        Coverage(
            "metrics", False, f"Prometheus keeps them for {format_duration(profile.monitoring.retention)}"
        ),
        Coverage(
            "secrets",
            profile.secrets.provider == "vault",
            "in the Vault"
            if profile.secrets.provider == "vault"
            else "only the backups' pass phrase is kept, in backup.key; the others are made anew",
        ),
    )
