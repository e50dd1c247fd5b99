from __future__ import annotations

import copy
from typing import Any

import pytest

from renecinfra.errors import TerraformError
from renecinfra.sensitive import REDACTED
from renecinfra.terraform.plan import UNKNOWN, parse_plan

SECRET = "hunter2hunter2"


def resource(address: str, actions: list[str], **change: Any) -> dict[str, Any]:
    return {"address": address, "type": "terraform_data", "change": {"actions": actions, **change}}


def document(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "timestamp": "2026-11-24T17:30:48Z",
        "resource_changes": list(changes),
        **more,
    }


REPLACED = resource(
    "terraform_data.b",
    ["delete", "create"],
    before={"id": "1", "input": {"s": SECRET, "list": ["a", SECRET]}, "output": {"s": SECRET}},
    after={"input": {"s": SECRET, "list": ["a", SECRET]}, "tags": ["x"]},
    before_sensitive={"input": {"s": True, "list": [False, True]}, "output": {}},
    after_sensitive={"input": {"s": True, "list": [False, True]}},
    after_unknown={"id": True, "tags": [False], "input": {}},
    replace_paths=[["triggers_replace"], ["input", "list", 0]],
)


@pytest.mark.parametrize(
    ("actions", "action"),
    [
        (["create"], "create"),
        (["update"], "update"),
        (["delete"], "delete"),
        (["delete", "create"], "replace"),
        (["create", "delete"], "replace"),
        (["read"], "read"),
        (["no-op"], "no-op"),
        (["forget"], "forget"),
    ],
)
def test_actions(actions: list[str], action: str) -> None:
    assert parse_plan(document(resource("a.b", actions))).changes[0].action == action


def test_a_replacement() -> None:
    change = parse_plan(document({**REPLACED, "action_reason": "replace_by_request"})).changes[0]

    assert change.replace_paths == ("triggers_replace", "input.list[0]")
    assert change.reason == "replace_by_request"
    assert change.after == {
        "input": {"s": REDACTED, "list": ["a", REDACTED]},
        "tags": ["x"],
        "id": UNKNOWN,
    }


def test_no_sensitive_value_is_kept_not_even_its_unmarked_copy() -> None:
    plan = parse_plan(document(REPLACED, resource_drift=[REPLACED]))

    assert SECRET not in repr(plan)
    assert plan.changes[0].before["output"] == {"s": REDACTED}


def test_a_wholly_sensitive_value() -> None:
    change = resource("a.b", ["create"], before=None, after={"x": SECRET}, after_sensitive=True)

    assert parse_plan(document(change)).changes[0].after == REDACTED


def test_counts_and_order() -> None:
    plan = parse_plan(
        document(
            resource("z.z", ["create"]),
            resource("a.a", ["create"]),
            resource("m.m", ["no-op"]),
            resource("data.x.y", ["read"]),
            REPLACED,
        )
    )

    assert dict(plan.counts) == {"create": 2, "replace": 1}
    assert [change.address for change in plan.pending] == ["a.a", "terraform_data.b", "z.z"]
    assert len(plan.changes) == 5


def test_a_deposed_object_is_told_apart() -> None:
    plan = parse_plan(
        document({**resource("a.b", ["delete"]), "deposed": "0a1b"}, resource("a.b", ["no-op"]))
    )

    assert [change.address for change in plan.changes] == ["a.b", "a.b (deposed 0a1b)"]


def test_the_digest_is_of_what_would_be_done() -> None:
    plan = parse_plan(document(REPLACED, resource("a.a", ["create"], after={"x": 1})))
    same = document(resource("a.a", ["create"], after={"x": 1}), REPLACED, resource("n.n", ["no-op"]))
    same["timestamp"], same["terraform_version"] = "later", "1.15.5"

    assert parse_plan(same).digest == plan.digest


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [resource("a.a", ["create"], after={"x": 2})],
        [resource("a.a", ["update"], after={"x": 1})],
        [resource("a.b", ["create"], after={"x": 1})],
        [resource("a.a", ["create"], after={"x": 1}, after_unknown={"y": True})],
        [resource("a.a", ["create"], after={"x": 1}, replace_paths=[["x"]])],
    ],
)
def test_the_digest_of_something_else_differs(changes: list[dict[str, Any]]) -> None:
    plan = parse_plan(document(resource("a.a", ["create"], after={"x": 1})))

    assert parse_plan(document(*changes)).digest != plan.digest


def test_output_changes_count_in_the_digest() -> None:
    changed = parse_plan(document(output_changes={"x": {"actions": ["update"]}}))
    unchanged = parse_plan(document(output_changes={"x": {"actions": ["no-op"]}}))

    assert changed.outputs == {"x": "update"}
    assert changed.digest != unchanged.digest
    assert unchanged.digest == parse_plan(document()).digest


@pytest.mark.parametrize("version", ["0.2", "2.0", None])
def test_another_format_is_refused(version: str | None) -> None:
    changed = copy.deepcopy(document())
    changed["format_version"] = version
    with pytest.raises(TerraformError) as caught:
        parse_plan(changed)

    assert caught.value.id == "terraform-plan-format"


def test_an_action_of_a_later_version_is_refused() -> None:
    with pytest.raises(TerraformError, match="update then forget"):
        parse_plan(document(resource("a.b", ["update", "forget"])))
