"""What must hold before a reviewed plan is applied. Decides only; asking is the command line's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta

from renecinfra.errors import DeclinedError, ToolError, UsageError
from renecinfra.profiles.base import format_duration
from renecinfra.profiles.model import Profile
from renecinfra.review.change import Review

BackupAge = Callable[[], timedelta | None]
"""How much would be lost by going back to the newest restorable backup; None where nobody can tell."""


def require_allowed(review: Review, allowed: Collection[str]) -> None:
    """Each stateful change must have been allowed by its address, and nothing else.

    Raises:
        DeclinedError: one was not; the message names all of them.
        UsageError: something was allowed that is no stateful change of this plan.
    """
    stateful = {change.address: change for change in review.stateful}
    superfluous = sorted(set(allowed) - set(stateful))
    if superfluous:
        raise UsageError(
            "allow-stateful-unknown",
            f"--allow-stateful names {superfluous[0]}, which this plan does not change statefully",
            hint="allow what the plan says; a permission for another plan must not linger in a script",
            details=tuple(superfluous[1:]),
        )
    missing = [change for address, change in sorted(stateful.items()) if address not in allowed]
    if missing:
        options = " ".join(f"--allow-stateful '{change.address}'" for change in missing)
        raise DeclinedError(
            "stateful-refused",
            f"{len(missing)} of the changes to {review.environment} would lose data",
            details=tuple(f"{one.action} {one.address}: {'; '.join(one.reasons)}" for one in missing),
            hint=f"if that is what you want, run it again with {options}",
        )


def require_backup(
    profile: Profile, review: Review, age: BackupAge, *, trailing: timedelta = timedelta(0)
) -> None:
    """Before data is lost, what could bring it back must be younger than the profile's RPO.

    ``trailing`` is how far the platform's own backups are behind at the best of times.

    An environment whose profile says that it has no backups has said that its data may go.

    Raises:
        ToolError: the newest backup is too old, or it is not known how old it is.
    """
    if not review.stateful or not profile.backups.enabled:
        return
    found, rpo = age(), profile.backups.rpo
    if found is None:
        raise ToolError(
            "backup-unknown",
            f"data of {review.environment} would be lost, and the age of its newest backup is not known",
            hint="take a backup that this version of renecinfra can see, or set backups.enabled to false in "
            "the profile, where the data may go",
        )
    if found > max(rpo, trailing):
        raise ToolError(
            "backup-too-old",
            f"data of {review.environment} would be lost, and its newest backup is {format_duration(found)} "
            f"old, more than backups.rpo ({format_duration(rpo)})",
            hint="take a backup first",
        )


def require_question(profile: Profile, *, yes: bool, hint: str) -> None:
    """A protected environment is changed by someone who types its name.

    Raises:
        DeclinedError: ``--yes`` was to answer for that; ``hint`` says what can be done instead.
    """
    if profile.protection.protected and yes:
        raise DeclinedError(
            "environment-protected",
            f"{profile.environment} is protected: --yes cannot answer for it",
            hint=hint,
        )
