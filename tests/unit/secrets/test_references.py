"""References: absolute and below the profile's path, fields and versions, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renecinfra.errors import SecretsError
from renecinfra.secrets.references import KvLayout, KvReference, places

LAYOUT = KvLayout("kv", "renec/prod")


@pytest.mark.parametrize(
    ("text", "path", "field", "version"),
    [
        ("vault:database#password", "renec/prod/database", "password", None),
        ("vault:kv/renec/prod#database_password", "renec/prod", "database_password", None),
        ("vault:a/b.c-d#F_1@12", "renec/prod/a/b.c-d", "F_1", 12),
        ("vault:kvothe#a", "renec/prod/kvothe", "a", None),
        ("vault:database#password@0", "renec/prod/database", "password", None),
        ("generated:api_key", "renec/prod/api_key", "value", None),
    ],
)
def test_where_a_reference_points(text, path, field, version):
    assert LAYOUT.locate(text) == KvReference(text, "kv", path, field, version)


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "vault:#a",
        "vault:a",
        "vault:a#",
        "vault:a/../b#c",
        "vault:./a#b",
        "vault:a//b#c",
        "vault:/a#b",
        "vault:a/#b",
        "vault:a b#c",
        "vault:a#b@x",
        "generated:A",
        "generated:",
    ],
)
def test_what_is_none(text):
    with pytest.raises(SecretsError) as caught:
        LAYOUT.locate(text)
    assert caught.value.id == "secret-reference-invalid"


def test_a_path_of_the_api():
    located = KvLayout("team/kv", "").locate("vault:team/kv/a/b#c")
    assert (located.data_path, located.metadata_path) == ("team/kv/data/a/b", "team/kv/metadata/a/b")


def test_one_read_serves_the_fields_of_a_path():
    located = LAYOUT.locate_all(["vault:a#x", "vault:a#y", "vault:a#x@1", "vault:kv/renec/prod/a#z"])
    assert [one.place[1:] for one in places(located.values())] == [
        ("renec/prod/a", None),
        ("renec/prod/a", 1),
    ]


@given(st.from_regex(r"vault:[A-Za-z0-9._/-]+#[A-Za-z0-9_]+(@[0-9]+)?", fullmatch=True))
def test_no_reference_leaves_its_mount(text):
    try:
        located = LAYOUT.locate(text)
    except SecretsError:
        return
    parts = located.data_path.split("/")
    assert parts[:2] == ["kv", "data"]
    assert not {"", ".", ".."} & set(parts)
