from __future__ import annotations

from renecinfra.kubernetes import diffing

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{a: {a}, b: same}}\n"


def test_lists_are_flattened_and_matchers_are_text() -> None:
    found = diffing.objects(
        "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {op: =}}\n"
        "---\n# nothing\n"
    )
    (one,) = found.values()
    assert one["data"] == {"op": "="}


def test_a_secrets_values_are_hidden_and_its_change_is_seen() -> None:
    before, after = (diffing.objects(SECRET.format(a=value)) for value in ("b2xkLXZhbHVl", "bmV3LXZhbHVl"))
    (change,) = diffing.changes(before, after)
    assert "b2xkLXZhbHVl" not in change.diff
    assert "bmV3LXZhbHVl" not in change.diff
    assert "+  a: (hidden, new)" in change.diff
    assert "  b: (hidden)" in change.diff
    (added,) = diffing.changes({}, after)
    assert added.kind == "add"
    assert "bmV3LXZhbHVl" not in added.diff


def test_random_fields_are_no_change_but_others_are() -> None:
    present = diffing.objects(SECRET.format(a="old"))
    first, second = (diffing.objects(SECRET.format(a=value)) for value in ("x", "y"))
    settled = diffing.without_random(first, second, present)
    assert diffing.changes(present, settled) == []
    other = diffing.objects(SECRET.format(a="old").replace("same", "changed"))
    assert diffing.changes(other, settled)


def test_unknown_keys() -> None:
    defaults = {"a": {"b": 1}, "free": {}, "config": {"x": 1}}
    ours = {"a": {"b": 2, "c": 3}, "free": {"any": 1}, "config": {"y": 2}, "d": 1, "said": 1}
    assert diffing.unknown_keys(ours, defaults, mentioned={"said"}, free=("config",)) == ["a.c", "d"]
