from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renecinfra.terraform.events import TerraformEvent, parse_event


def line(**fields: object) -> str:
    return json.dumps({"@level": "info", "@message": "text", "@module": "terraform.ui", **fields})


def test_a_hook() -> None:
    event = parse_event(
        line(
            type="apply_complete",
            hook={"resource": {"addr": 'a.b["c"]'}, "action": "create", "elapsed_seconds": 3},
        )
    )

    assert event == TerraformEvent("apply_complete", "text", 'a.b["c"]', "create", 3)


def test_a_planned_change() -> None:
    change = {"resource": {"addr": "a.b"}, "action": "replace", "reason": "tainted"}
    event = parse_event(line(type="planned_change", change=change))

    assert (event.address, event.action, event.reason) == ("a.b", "replace", "tainted")


def test_a_summary() -> None:
    event = parse_event(line(type="change_summary", changes={"add": 1, "remove": 0, "operation": "apply"}))

    assert event.counts == {"add": 1, "remove": 0}


def test_a_diagnostic() -> None:
    event = parse_event(
        line(
            type="diagnostic",
            diagnostic={
                "severity": "error",
                "summary": "Bad",
                "detail": "Why",
                "address": "a.b",
                "range": {"filename": "main.tf", "start": {"line": 3, "column": 7}},
            },
        )
    )

    assert event.diagnostic is not None
    assert (event.diagnostic.summary, event.diagnostic.path, event.diagnostic.line) == ("Bad", "main.tf", 3)


def test_a_kind_of_a_later_version_is_kept() -> None:
    assert parse_event(line(type="action_start")).kind == "action_start"


@pytest.mark.parametrize("text", ["", "panic: oh no", "[1]", '{"no": "message"}', '{"@message": 1}', "{"])
def test_a_line_that_is_no_event_is_output(text: str) -> None:
    assert parse_event(text) == TerraformEvent("output", text)


@settings(database=None, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["@message", "type", "hook", "change", "changes", "diagnostic"]),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: st.dictionaries(
                st.sampled_from(["resource", "addr", "action", "elapsed_seconds", "range", "start", "line"]),
                inner,
                max_size=3,
            ),
            max_leaves=12,
        ),
    )
)
def test_no_line_is_too_odd(data: dict[str, object]) -> None:
    event = parse_event(json.dumps({"@message": "text", **data}))

    assert event.elapsed is None or isinstance(event.elapsed, int)
    assert event.address is None or isinstance(event.address, str)
