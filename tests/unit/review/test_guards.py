"""Permissions, backups and questions before harm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from renecinfra.errors import DeclinedError, RenecError, ToolError, UsageError
from renecinfra.profiles.model import Profile
from renecinfra.review.change import Change, review
from renecinfra.review.grades import Grade
from renecinfra.review.guards import require_allowed, require_backup, require_question

LOST = Change("terraform", "aws_db_instance.a", "delete", Grade.STATEFUL, ("loses a database",))
ALSO = Change("terraform", 'aws_kms_key.k["x"]', "delete", Grade.STATEFUL, ("loses a key",))
FINE = Change("terraform", "aws_vpc.a", "update", Grade.CAUTION, ("the network changes",))


def profile(**sections: Any) -> Profile:
    return Profile.model_validate({"environment": "prod", "platform": {"kind": "local"}} | sections)


def test_what_loses_data_is_allowed_by_its_address_and_by_nothing_else() -> None:
    made = review("prod", [LOST, ALSO, FINE])
    with pytest.raises(DeclinedError) as refused:
        require_allowed(made, [LOST.address])
    assert refused.value.details == (f"delete {ALSO.address}: loses a key",)
    assert refused.value.hint is not None and f"--allow-stateful '{ALSO.address}'" in refused.value.hint
    require_allowed(made, [LOST.address, ALSO.address])
    require_allowed(review("prod", [FINE]), [])


@pytest.mark.parametrize("address", [FINE.address, "aws_db_instance.b", "*"])
def test_a_permission_that_is_not_needed_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="does not change statefully"):
        require_allowed(review("prod", [LOST, FINE]), [LOST.address, address])


@pytest.mark.parametrize(
    ("age", "identifier"),
    [
        (timedelta(minutes=4), None),
        (timedelta(minutes=5), None),
        (timedelta(minutes=6), "backup-too-old"),
        (None, "backup-unknown"),
    ],
)
def test_a_backup_must_be_younger_than_the_rpo(age: timedelta | None, identifier: str | None) -> None:
    def check() -> None:
        require_backup(profile(backups={"rpo": "5m"}), review("prod", [LOST]), lambda: age)

    if identifier is None:
        check()
        return
    with pytest.raises(ToolError) as refused:
        check()
    assert refused.value.id == identifier


def test_the_backup_is_asked_for_only_where_data_is_lost_that_has_one() -> None:
    def fail() -> timedelta:
        raise AssertionError("asked")

    require_backup(profile(), review("prod", [FINE]), fail)
    require_backup(profile(backups={"enabled": False}), review("prod", [LOST]), fail)


def test_yes_cannot_answer_for_a_protected_environment() -> None:
    protected = profile(protection={"protected": True})
    with pytest.raises(RenecError) as refused:
        require_question(protected, yes=True, hint="type it")
    assert (refused.value.id, refused.value.hint) == ("environment-protected", "type it")
    require_question(protected, yes=False, hint="")
    require_question(profile(), yes=True, hint="")
