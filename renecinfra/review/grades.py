"""The grades as data: ``templates/review/grades.yaml``, read strictly."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from renecinfra.errors import ProfileError
from renecinfra.profiles.base import ProfileModel, Text, blame
from renecinfra.profiles.document import compose, decode
from renecinfra.profiles.problems import from_validation
from renecinfra.profiles.tree import MappingNode, plain

FILE: Final = "review/grades.yaml"
"""Where the grades are, below the templates."""


class Grade(IntEnum):
    """How risky a change is; a higher one is worse."""

    SAFE = 0
    CAUTION = 1
    STATEFUL = 2

    @property
    def word(self) -> str:
        """As it is written everywhere."""
        return self.name.lower()


GradeWord = Literal["safe", "caution", "stateful"]
When = Literal["raised", "lowered", "shortened", "added", "removed", "enabled", "disabled", "opened"]


class Verdict(ProfileModel):
    """A grade and why."""

    grade: GradeWord
    reason: Text

    @property
    def rank(self) -> Grade:
        """The grade, to compare."""
        return Grade[self.grade.upper()]


class AttributeRule(Verdict):
    """What a change of an attribute means; ``create`` makes it hold for new resources as well."""

    when: When | None = None
    create: bool = False


class Actions(ProfileModel):
    """What may happen to something, and what it holds."""

    data: Text | None = None
    create: Verdict | None = None
    update: Verdict | None = None
    delete: Verdict | None = None
    replace: Verdict | None = None
    forget: Verdict | None = None
    attributes: dict[Text, AttributeRule | Annotated[list[AttributeRule], Field(min_length=1)]] = Field(
        default_factory=dict
    )

    def rules(self, key: str) -> list[AttributeRule]:
        """The rules of one attribute, in order."""
        found = self.attributes[key]
        return found if isinstance(found, list) else [found]


class Subject(Actions):
    """A type of resources or a kind of objects; where it holds data, its end cannot be called harmless."""

    @model_validator(mode="after")
    def _data_is_lost(self) -> Self:
        for action in ("delete", "replace"):
            verdict = getattr(self, action)
            if self.data is not None and verdict is not None and verdict.grade != "stateful":
                raise blame(action, "must be stateful, or must not be there: it holds data")
        return self


class Matched(Actions):
    """Resources by their address, in which * stands for any text."""

    match: Text


class Group(Subject):
    """Several types of which the same holds."""

    match: Annotated[list[Text], Field(min_length=1)]


class NamedVerdict(Verdict):
    """A verdict on what has a name, in which * stands for any text."""

    match: Text


class Unknown(ProfileModel):
    """What holds where nothing else is said."""

    create: Verdict
    update: Verdict
    delete: Verdict
    replace: Verdict
    forget: Verdict


class SecretVerdicts(ProfileModel):
    """What a secret's new version means."""

    added: Verdict
    changed: Verdict
    removed: Verdict


class Grades(ProfileModel):
    """The whole file."""

    labels: list[Text]
    unknown: Unknown
    addresses: list[Matched]
    types: dict[Text, Subject]
    groups: list[Group]
    objects: dict[Text, Subject]
    files: Annotated[list[NamedVerdict], Field(min_length=1)]
    hooks: Annotated[list[NamedVerdict], Field(min_length=1)]
    secrets: SecretVerdicts

    @model_validator(mode="after")
    def _each_type_once(self) -> Self:
        seen = set(self.types)
        for group in self.groups:
            twice = seen & set(group.match)
            if twice:
                raise blame("groups", f"must not name a type twice: {', '.join(sorted(twice))}")
            seen |= set(group.match)
        return self

    @model_validator(mode="after")
    def _everything_matches(self) -> Self:
        for field in ("files", "hooks"):
            if getattr(self, field)[-1].match != "*":
                raise blame(field, "must end with an entry that matches *")
        return self

    def of_resource(self, address: str, kind: str) -> Actions:
        """What holds for a Terraform resource."""
        for entry in self.addresses:
            if matches(entry.match, address):
                return entry
        if kind in self.types:
            return self.types[kind]
        return next((group for group in self.groups if kind in group.match), _NOTHING)

    def of_object(self, kind: str) -> Actions:
        """What holds for an object of a cluster."""
        return self.objects.get(kind, _NOTHING)


_NOTHING: Final = Actions()


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """Whether ``text`` is as ``pattern`` says; * stands for any text and nothing else is special."""
    return _pattern(pattern).fullmatch(text) is not None


def load_grades(templates: Path) -> Grades:
    """The grades of a workspace.

    Raises:
        ProfileError: the file is not there, or is wrong; with the place.
    """
    path = templates / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProfileError(
            "grades-unreadable",
            f"the grades cannot be read: {path}: {error.strerror}",
            hint="take templates/review/ from the installed package, or take your templates/ away",
        ) from error
    return _parsed(data, f"{templates.name}/{FILE}")


@lru_cache(maxsize=4)
def _parsed(data: bytes, path: str) -> Grades:
    root = compose(decode(data, path), path)
    if not isinstance(root, MappingNode):
        raise ProfileError("grades-invalid", f"{path} is no mapping", hint="begin with `labels:`")
    try:
        return Grades.model_validate(plain(root))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        first, *others = from_validation(errors, root, Grades)
        raise ProfileError(
            "grades-invalid",
            first.message,
            location=first.source.location,
            hint=first.hint or "the head of the file says what may stand there",
            details=tuple(f"{problem.source}: {problem.message}" for problem in others[:20]),
        ) from None
