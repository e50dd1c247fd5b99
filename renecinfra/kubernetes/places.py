"""Which of CloudNativePG's clusters serves, and which are beside it: what a restore changes. Pure data.

It is part of the values of the release renec-data, and read from there: no file of one machine knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

NAME: Final = "renec-postgresql"
Role = Literal["current", "beside", "kept"]
CURRENT: Final = "current"
ROLE_LABEL: Final = "renec.io/role"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a cluster was restored from: the archive's name, and the operator's ``recoveryTarget``.

    ``said`` is what the target was taken for, for people.
    """

    server: str
    target: Mapping[str, Any]
    said: str

    def document(self) -> dict[str, Any]:
        """As a value of the chart."""
        return {"server": self.server, "target": dict(self.target), "said": self.said}


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """One cluster. ``server`` is the name that its archive has in the bucket."""

    name: str
    server: str
    role: Role
    origin: Origin | None = None

    def document(self) -> dict[str, Any]:
        """As a value of the chart."""
        found: dict[str, Any] = {"name": self.name, "server": self.server, "role": self.role}
        return found if self.origin is None else {**found, "origin": self.origin.document()}


@dataclass(frozen=True, slots=True)
class Places:
    """All of an environment's clusters; exactly one is current."""

    places: tuple[DatabasePlace, ...]

    @classmethod
    def fresh(cls, environment: str) -> Places:
        """Those of an environment that was never restored."""
        return cls((DatabasePlace(NAME, environment, "current"),))

    @classmethod
    def of_values(cls, values: Mapping[str, Any], environment: str) -> Places:
        """Those that a release's values have."""
        listed = values.get("database", {}).get("clusters")
        if not listed:
            return cls.fresh(environment)
        return cls(
            tuple(
                DatabasePlace(
                    str(one["name"]),
                    str(one["server"]),
                    one["role"],
                    Origin(one["origin"]["server"], one["origin"]["target"], one["origin"]["said"])
                    if "origin" in one
                    else None,
                )
                for one in listed
            )
        )

    @property
    def current(self) -> DatabasePlace:
        """The one that serves."""
        return self._of("current") or self.places[0]

    @property
    def beside(self) -> DatabasePlace | None:
        """One that is being restored."""
        return self._of("beside")

    @property
    def kept(self) -> DatabasePlace | None:
        """One that served before, and is stopped."""
        return self._of("kept")

    def _of(self, role: Role) -> DatabasePlace | None:
        return next((one for one in self.places if one.role == role), None)

    def with_beside(self, id_: str, origin: Origin, environment: str) -> Places:
        """With a new cluster, which has an archive of its own: two must never write to one."""
        new = DatabasePlace(f"{NAME}-{id_}", f"{environment}-{id_}", "beside", origin)
        return Places((*self.places, new))

    def exchanged(self, new: DatabasePlace) -> Places:
        """With ``new`` in the place of the current one, which is kept."""
        roles: dict[str, Role] = {self.current.name: "kept", new.name: "current"}
        return Places(tuple(replace(one, role=roles.get(one.name, one.role)) for one in self.places))

    def without(self, gone: DatabasePlace) -> Places:
        """Without one that is not current."""
        return Places(tuple(one for one in self.places if one.name != gone.name))

    def document(self) -> list[dict[str, Any]]:
        """As values of the chart."""
        return [one.document() for one in self.places]
