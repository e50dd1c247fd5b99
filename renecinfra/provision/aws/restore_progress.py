"""How far a restore in AWS came, read from the instances that are there: no file of one machine knows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from renecinfra.errors import RestoreError
from renecinfra.platforms.aws.recovery import TAG, TARGET_TAG, Names, tags_of

_NAME: Final = re.compile(r"(?P<own>.+)-(?P<kind>restored|before|undone)-(?P<id>\d{8}-\d{6})")


@dataclass(frozen=True, slots=True)
class Progress:
    """One restore. ``beside`` says that the restored instance still has its own name, ``placed`` that it has
    the primary's; ``kept`` and ``undone`` are the instances, by the names that they had, of before the
    restore, and of the restore after its undo.
    """

    names: Names
    target: str
    beside: bool
    placed: bool
    kept: tuple[str, ...]
    undone: tuple[str, ...]

    @property
    def restored(self) -> bool:
        """Whether the restored instance serves, and all names are what they are to be."""
        return self.placed and not self.beside and not self.undone

    @property
    def undone_whole(self) -> bool:
        """Whether an undo is through: the instances of before have their names again."""
        return bool(self.undone) and not self.kept and not self.placed

    @property
    def between(self) -> bool:
        """Whether instances are between two names."""
        return self.touched and not self.restored and not self.undone_whole

    @property
    def touched(self) -> bool:
        """Whether an instance of the environment has changed its name."""
        return self.placed or bool(self.kept) or bool(self.undone)


def progress(base: str, instances: Sequence[Mapping[str, Any]]) -> Progress | None:
    """The restore that is under way or can be undone; None where there is none.

    Raises:
        RestoreError: there are several, which this command never makes.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name in _names(instances):
        match = _NAME.fullmatch(name)
        if match is not None and (match["own"] == base or match["own"].startswith(f"{base}-replica-")):
            found.setdefault(match["id"], {}).setdefault(match["kind"], []).append(match["own"])
    primary = next((one for one in instances if one["DBInstanceIdentifier"] == base), None)
    tags = tags_of(primary or {})
    # It stays until the restore is done with, also where there was nothing to keep.
    if TAG in tags:
        found.setdefault(tags[TAG], {})
    if not found:
        return None
    if len(found) > 1:
        raise RestoreError(
            "restore-several",
            f"RDS has instances of {len(found)} restores: {', '.join(sorted(found))}",
            hint="look at them in the RDS console, and delete those of all but one",
        )
    ((id_, kinds),) = found.items()
    names = Names(base, id_)
    beside = next((one for one in instances if one["DBInstanceIdentifier"] == names.restored), {})
    return Progress(
        names,
        tags_of(beside).get(TARGET_TAG) or tags.get(TARGET_TAG, "an unknown moment"),
        beside=bool(beside),
        placed=tags.get(TAG) == id_,
        kept=tuple(sorted(kinds.get("before", ()))),
        undone=tuple(sorted(kinds.get("undone", ()))),
    )


def _names(instances: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    return (
        str(one["DBInstanceIdentifier"]) for one in instances if one.get("DBInstanceStatus") != "deleting"
    )


def require(found: Progress | None, environment: str) -> Progress:
    """The restore that there is.

    Raises:
        RestoreError: there is none.
    """
    if found is None:
        raise RestoreError(
            "restore-none",
            f"no restore of {environment} is under way or can be undone",
            hint=f"`renecinfra restore {environment} --to TIME` begins one",
        )
    return found


def refuse_between(found: Progress | None, environment: str) -> None:
    """Refuse to have Terraform work on instances that are between two names: it would rename them, too.

    Raises:
        RestoreError: they are.
    """
    if found is not None and found.between:
        raise RestoreError(
            "restore-unfinished",
            f"the restore {found.names.id} is not done: instances are still between two names",
            hint=f"`renecinfra restore {environment} --resume` goes on with it, `--undo` goes back",
        )


def refuse_unfinished(found: Progress | None, environment: str) -> None:
    """Refuse to begin another restore while one is under way, or can still be undone.

    Raises:
        RestoreError: one is, or can.
    """
    if found is None:
        return
    if found.beside or not found.kept:
        raise RestoreError(
            "restore-unfinished",
            f"a restore to {found.target} was begun and is not done ({found.names.id})",
            hint=f"`renecinfra restore {environment} --resume` goes on with it, "
            + ("`--undo` takes it back" if found.touched else "`--abort` removes it"),
        )
    raise RestoreError(
        "restore-kept",
        f"instances of the restore {found.names.id} are still kept: "
        + ", ".join(
            [found.names.kept(one) for one in found.kept] + [found.names.undone(one) for one in found.undone]
        ),
        hint=f"`renecinfra restore {environment} --finish` removes them"
        + (", `--undo` goes back" if found.placed and found.kept else ""),
    )
