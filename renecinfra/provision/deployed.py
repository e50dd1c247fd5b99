"""Which directories of a local environment's workloads were deployed in the place of the profile's.

Kept in the environment's state, a revision for each deployment. As long as the profile names the directory
that it named then, the deployed one stays; once it names another, the profile is the newer word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import ToolError
from renecinfra.profiles.loading import LoadedProfile
from renecinfra.profiles.model import Profile
from renecinfra.rendering import write_atomically

FILE: Final = "deployed.json"
"""Its name in the environment's state directory."""
WORKLOADS: Final = ("api", "ui", "worker", "beat", "migrations")


@dataclass(frozen=True, slots=True)
class Deployed:
    """One revision: each workload's directory, and the profile's of that time."""

    revision: int
    updated: str
    description: str
    directories: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "revision": self.revision,
            "status": "deployed",
            "chart": None,
            "description": self.description,
            "updated": self.updated,
        }


def revisions(state: Path) -> list[Deployed]:
    """Every revision, the oldest first; none where nothing was ever deployed.

    Raises:
        ToolError: the file is not what was written.
    """
    try:
        stored = json.loads((state / FILE).read_text(encoding="utf-8"))
        return [
            Deployed(
                int(one["revision"]),
                str(one["updated"]),
                str(one["description"]),
                {name: (str(new), str(old)) for name, (new, old) in one["directories"].items()},
            )
            for one in stored
        ]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ToolError(
            "deployed-unreadable",
            f"{state / FILE} is not what a deployment has written: {error}",
            hint="remove it: then what the profile names is what runs",
        ) from None


def add(state: Path, directories: Mapping[str, tuple[str, str]], description: str, keep: int) -> int:
    """Make these the current ones; returns the revision's number."""
    before = revisions(state)
    number = before[-1].revision + 1 if before else 1
    now = datetime.now(UTC).isoformat(timespec="seconds")
    kept = [*before, Deployed(number, now, description, dict(directories))][-max(2, keep) :]
    write_atomically(state / FILE, json.dumps([asdict(one) for one in kept], indent=2) + "\n", 0o600)
    return number


def directory(profile: Profile, name: str) -> str:
    """Where a workload's command runs, as the profile says it."""
    return getattr(profile.workloads, name).directory or "."


def applied(loaded: LoadedProfile, state: Path) -> LoadedProfile:
    """The profile with what is deployed.

    Raises:
        ToolError: what is deployed cannot be read.
    """
    found = revisions(state)
    if not found:
        return loaded
    valid = {
        name: new
        for name, (new, then) in found[-1].directories.items()
        if directory(loaded.profile, name) == then
    }
    return replace(loaded, profile=with_directories(loaded.profile, valid))


def with_directories(profile: Profile, directories: Mapping[str, str]) -> Profile:
    """The profile with other directories for some workloads."""
    workloads = profile.workloads
    changed = {
        name: getattr(workloads, name).model_copy(update={"directory": new})
        for name, new in directories.items()
    }
    return profile.model_copy(update={"workloads": workloads.model_copy(update=changed)})
