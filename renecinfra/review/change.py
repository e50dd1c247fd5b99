"""A plan over all layers as one value. Data only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from renecinfra.review.grades import Grade

Layer = Literal["terraform", "release", "file", "secret", "hook"]
Action = Literal["create", "update", "replace", "delete", "forget", "run"]
LAYERS: Final[tuple[Layer, ...]] = ("terraform", "release", "file", "secret", "hook")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that `up` would do.

    ``address`` names it within its layer: a Terraform address, ``RELEASE: KIND NAMESPACE/NAME``, a file's
    path, a secret's reference, a hook. ``reasons`` say why it has its grade, ``attributes`` what differs of
    it, and ``diff`` how; neither holds a secret.
    """

    layer: Layer
    address: str
    action: Action
    grade: Grade
    reasons: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    diff: str = ""

    def document(self) -> dict[str, Any]:
        """The change for machines; its schema is docs/reference/schemas/plan.json."""
        return {
            "layer": self.layer,
            "address": self.address,
            "action": self.action,
            "grade": self.grade.word,
            "reasons": list(self.reasons),
            "attributes": list(self.attributes),
            "diff": self.diff,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Change:
        """What :meth:`document` made."""
        return cls(
            layer=document["layer"],
            address=document["address"],
            action=document["action"],
            grade=Grade[document["grade"].upper()],
            reasons=tuple(document["reasons"]),
            attributes=tuple(document["attributes"]),
            diff=document["diff"],
        )


@dataclass(frozen=True, slots=True)
class Review:
    """Everything that `up` would do to an environment, graded; the worst first."""

    environment: str
    changes: tuple[Change, ...]

    @property
    def grade(self) -> Grade | None:
        """The worst grade; None where there is nothing to do."""
        return max((change.grade for change in self.changes), default=None)

    @property
    def counts(self) -> Mapping[Grade, int]:
        """How many changes have which grade."""
        return Counter(change.grade for change in self.changes)

    @property
    def stateful(self) -> tuple[Change, ...]:
        """The changes that lose data."""
        return tuple(change for change in self.changes if change.grade is Grade.STATEFUL)

    def document(self) -> dict[str, Any]:
        """The review for machines; its schema is docs/reference/schemas/plan.json."""
        return {
            "grade": self.grade.word if self.grade is not None else None,
            "counts": {grade.word: self.counts[grade] for grade in Grade},
            "graded": [change.document() for change in self.changes],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Review:
        """The review in what ``plan --json`` printed."""
        return review(document["environment"], map(Change.from_document, document["graded"]))


def review(environment: str, changes: Iterable[Change]) -> Review:
    """The changes in the order in which they are told: the worst first, then by layer and address."""
    ordered = sorted(changes, key=lambda one: (-one.grade, LAYERS.index(one.layer), one.address, one.action))
    return Review(environment, tuple(ordered))
