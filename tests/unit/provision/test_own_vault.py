"""With OpenBao running, nothing is applied that the confirmed plan does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from renecinfra.errors import BugError, ToolError
from renecinfra.provision.own_vault import _require_confirmed
from renecinfra.provision.planning import UpPlan
from renecinfra.review.change import Review
from renecinfra.terraform.plan import Plan, ResourceChange


def plan(*changes, secrets=None):
    resources = tuple(
        ResourceChange(address, "terraform_data", action, None, None) for action, address in changes
    )
    return UpPlan(
        "case",
        Plan(resources, (), {}, "1.11.4"),
        Path("/p"),
        (),
        {},
        {},
        secrets,
        False,
        Review("case", ()),
        {},
    )


OPENBAO = ("create", 'terraform_data.secrets["openbao"]')
EDGE = ("create", 'terraform_data.edge["edge"]')


def test_a_part_of_what_was_confirmed_is_applied():
    _require_confirmed(plan(OPENBAO, EDGE), plan(("no-op", OPENBAO[1]), EDGE, secrets={}))


@pytest.mark.parametrize("more", [("create", "terraform_data.other"), ("replace", EDGE[1])])
def test_anything_else_is_refused_by_name(more):
    with pytest.raises(ToolError) as refused:
        _require_confirmed(plan(OPENBAO, EDGE), plan(more, secrets={}))
    assert refused.value.id == "plan-changed"
    assert refused.value.details == (f"{more[0]} {more[1]}",)


def test_a_plan_without_secrets_is_never_empty_and_gives_none():
    unresolved = plan()
    assert not unresolved.empty
    assert unresolved.document()["secrets"] == "assumed"
    with pytest.raises(BugError):
        _ = unresolved.secrets
    assert plan(secrets={}).empty
