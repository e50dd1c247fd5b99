from __future__ import annotations

import pytest
import yaml

from renecinfra.errors import Location, ProfileError
from renecinfra.profiles import document
from renecinfra.profiles.tree import ListNode, MappingNode, Scalar, dotted, find, leaves, plain, source_of


def compose(text: str) -> MappingNode:
    node = document.compose(text, "f.yaml")
    assert isinstance(node, MappingNode)
    return node


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("1.30", 1.3),
        (".5", 0.5),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ('"1.30"', "1.30"),
        ("'no'", "no"),
        ('"0777"', "0777"),
        ("none", "none"),
        ("1.2.3", "1.2.3"),
        ("30s", "30s"),
        ("10Gi", "10Gi"),
        ("02:00 daily", "02:00 daily"),
        ("|\n  two\n  lines", "two\nlines\n"),
    ],
)
def test_scalars(written: str, value: object) -> None:
    found = plain(compose(f"a: {written}\n"))["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "written",
    [
        *("yes", "No", "ON", "off", "y", "N"),
        *("010", "00", "0x1f", "0o17", "0b1", "1_000"),
        *("1:30", "190:20:30", "2026-11-24", "2026-11-24T10:31:00Z"),
        *(".inf", "-.INF", ".nan"),
    ],
)
def test_what_yaml_versions_read_differently_is_refused(written: str) -> None:
    with pytest.raises(ProfileError) as caught:
        compose(f"a:\n  - {written}\n")
    assert caught.value.id == "profile-ambiguous"
    assert caught.value.location == Location("f.yaml", 2, 5)


def test_places_of_keys_and_values() -> None:
    root = compose("a:\n  b: [1, {c: 2}]\n")
    assert source_of(root, ["a", "b", 1, "c"]).location == Location("f.yaml", 2, 14)
    assert source_of(root, ["a", "b", 1, "c"], key=True).location == Location("f.yaml", 2, 11)
    assert source_of(root, ["a", "x", "y"]).location == Location("f.yaml", 1, 1)
    assert source_of(root, []).location == Location("f.yaml", 1, 1)
    assert isinstance(find(root, ["a", "b"]), ListNode)
    assert find(root, ["a", "b", 2]) is None
    assert find(root, ["a", "b", 0, "c"]) is None
    assert dotted(["a", "b", 1, "c"]) == "a.b[1].c"


def test_leaves_in_the_order_of_the_text() -> None:
    root = compose("b: 1\na: {d: [1], c: {}}\n")
    assert [path for path, _ in leaves(root)] == [("b",), ("a", "d"), ("a", "c")]


def test_nothing_but_comments_is_none() -> None:
    assert document.compose("# nothing\n") is None


def test_the_pure_python_reader_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &x {b: [1, 'é', true]}\nc: *x\n"
    fast = compose(text)
    monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    assert repr(compose(text)) == repr(fast)
    with pytest.raises(ProfileError, match="a tab is used to indent"):
        compose("a:\n\tb: 1\n")
    with pytest.raises(ProfileError, match="never closed"):
        compose("a: 'b\n")


def test_a_surrogate_by_escape_is_refused() -> None:
    with pytest.raises(ProfileError) as caught:
        compose('a: "\\ud800"\n')
    assert caught.value.id == "profile-syntax"


def test_many_small_aliases_are_fine_and_a_bomb_is_not() -> None:
    compose("a: &a [1, 2]\nb: [" + ", ".join(["*a"] * 1000) + "]\n")
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    with pytest.raises(ProfileError) as caught:
        compose(bomb)
    assert caught.value.id == "profile-too-large"


def test_an_override_names_itself_and_has_no_place() -> None:
    node = document.compose("[1]", override="--set a=[1]")
    assert node is not None
    assert node.source.location is None
    assert str(node.source) == "--set a=[1]"
    with pytest.raises(ProfileError, match=r"\(in --set a=\[\)") as caught:
        document.compose("[", override="--set a=[")
    assert caught.value.location is None


def test_not_utf8_says_where() -> None:
    with pytest.raises(ProfileError) as caught:
        document.decode(b"a: 1\nb: \xff\n", "f.yaml")
    assert caught.value.location == Location("f.yaml", 2, 4)


def test_quoted_is_remembered() -> None:
    node = find(compose('a: "5"\n'), ["a"])
    assert isinstance(node, Scalar)
    assert node.quoted
    assert node.text == "5"
