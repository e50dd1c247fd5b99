"""Which image of each workload runs, where `deploy` has put another one than the profile's. Pure.

What was deployed is in the values of the application's release, beside the image that the profile named then.
As long as the profile still names that one, the deployed one stays; once the profile names another, the
profile is the newer word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from renecinfra.errors import UsageError
from renecinfra.profiles.model import Profile

WORKLOADS: Final = ("api", "ui", "worker", "beat", "migrations", "flower")
COLOURED: Final = ("api", "ui")
"""Those behind the edge: they have two slots, of which one has the clients."""
SLOTS: Final = ("blue", "green")


@dataclass(frozen=True, slots=True)
class Versions:
    """What runs.

    ``deployed`` are images by workload, with the profile's of that time; ``active`` is the slot of each
    coloured workload that has the clients, and ``preview`` the image in its other slot, where there is one.
    That slot has at least ``preview_replicas``, where an autoscaler decides.
    """

    deployed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    active: Mapping[str, str] = field(default_factory=dict)
    preview: Mapping[str, str] = field(default_factory=dict)
    preview_replicas: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Versions:
        """As the values of an installed release say; nothing of it is believed that has another form."""
        workloads = values.get("workloads") or {}
        active = {
            name: workload["active"]
            for name, workload in workloads.items()
            if name in COLOURED and workload.get("active") in SLOTS
        }
        deployed = {
            name: (str(one["image"]), str(one["profile"]))
            for name, one in (values.get("deployed") or {}).items()
            if name in WORKLOADS
        }
        preview = {
            name: image
            for name, slot in active.items()
            if (image := (workloads[name].get("slots") or {}).get(other(slot)))
        }
        return cls(deployed, active, preview)

    def image(self, profile: Profile, name: str) -> str:
        """The image of a workload's active slot."""
        wanted = str(getattr(profile.workloads, name).image)
        image, then = self.deployed.get(name, (wanted, wanted))
        return image if then == wanted else wanted

    def slot(self, name: str) -> str:
        """The slot that has the clients."""
        return self.active.get(name, SLOTS[0])

    def slots(self, profile: Profile, name: str) -> dict[str, str]:
        """The image in each slot; an empty one has none."""
        if name not in COLOURED:
            return {"main": self.image(profile, name)}
        here = self.slot(name)
        return {here: self.image(profile, name), other(here): self.preview.get(name, "")}

    def document(self, profile: Profile) -> dict[str, dict[str, str]]:
        """``deployed`` as the values keep it: what the profile has overtaken is left out."""
        return {
            name: {"image": image, "profile": then}
            for name, (image, then) in sorted(self.deployed.items())
            if getattr(profile.workloads, name).enabled
            and then == str(getattr(profile.workloads, name).image)
        }

    def with_images(self, profile: Profile, images: Mapping[str, str]) -> Versions:
        """With these images in the active slots."""
        added = {name: (image, str(getattr(profile.workloads, name).image)) for name, image in images.items()}
        return replace(self, deployed={**self.deployed, **added})

    def with_preview(self, images: Mapping[str, str], replicas: Mapping[str, int] | None = None) -> Versions:
        """With these images beside the active slots, in so many replicas; none of the earlier ones."""
        return replace(self, preview=dict(images), preview_replicas=dict(replicas or {}))

    def switched(self, profile: Profile) -> Versions:
        """With what is in the other slots active, and what was active beside it."""
        before = {name: self.image(profile, name) for name in self.preview}
        turned = {name: other(self.slot(name)) for name in self.preview}
        return replace(
            self.with_images(profile, self.preview), active={**self.active, **turned}, preview=before
        )


def other(slot: str) -> str:
    """The other of the two slots."""
    return SLOTS[1] if slot == SLOTS[0] else SLOTS[0]


def require_pinned(profile: Profile, images: Mapping[str, str]) -> None:
    """Refuse a workload that is not there, and an image that may be another tomorrow.

    Raises:
        UsageError: naming it.
    """
    for name, image in images.items():
        enabled = [one for one in WORKLOADS if getattr(profile.workloads, one).enabled]
        if name not in enabled:
            raise UsageError(
                "workload-unknown",
                f"{profile.environment} has no workload {name}",
                hint=f"workloads: {', '.join(enabled)}",
            )
        if "@sha256:" not in image or len(image.rpartition("@sha256:")[2]) != 64:
            raise UsageError(
                "image-not-pinned",
                f"{name}={image} is not pinned by a digest, so the cluster's nodes could run different ones",
                hint="write IMAGE@sha256:DIGEST; `docker buildx imagetools inspect IMAGE` shows the digest",
            )
