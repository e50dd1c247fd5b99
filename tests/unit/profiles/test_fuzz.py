"""Whatever is in a profile: it loads, or there is a ProfileError with an id. Never another exception."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from renecinfra.errors import ProfileError
from renecinfra.profiles.loading import load
from renecinfra.profiles.sizing import size
from renecinfra.workspace import Workspace

ROOT = Path(__file__).parents[3]
FILES = [ROOT / "environments" / f"{name}.yaml" for name in ("local", "prod", "onprem")]
SHIPPED = [yaml.safe_load(file.read_text()) for file in FILES]


def examples(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


PIECES = st.sampled_from([
    "a", "extends: base", "environment: case", "platform", "kind: local", "database", "- x", ": ", ":",
    "\n", "\n  ", "\n    ", "\t", "[", "]", "{", "}", ",", "&a ", "*a", "<<: *a", "!!str ", "!x ", "|", ">",
    "'", '"', "#", "---\n", "...\n", "%YAML 1.1\n", "?", "~", "null", "yes", "0", "1.5", "-", "@", "`", "\\",
    "é", "\x00", "\x85", "\u2028", "\ufeff", "🇲🇽", "\ud7ff", "1e999", "9" * 400, "workloads: ", "TODO", "<x>",
])  # fmt: skip
OVERRIDDEN = st.sampled_from(
    ["database", "database.name", "workloads.api.environment.X", "platform", "monitoring.receivers.a"]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["auto", "local", "aws", "0s", "5m", "1Gi", "vault:a#b", "generated:a", "https://a.b", "a:latest"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=6), SCALARS), inner, max_size=3),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(ROOT / "environments", root / "environments")
    return Workspace(root)


def check(workspace: Workspace, data: bytes, overrides: tuple[str, ...] = ()) -> None:
    (workspace.environments / "case.yaml").write_bytes(data)
    try:
        loaded = load(workspace, "case", overrides, environ={})
    except ProfileError as error:
        assert error.id.startswith("profile-")
        assert "\n" not in error.message
        str(error.location).encode()
        f"{error.message}{error.hint}{error.details}".encode()
        if error.location is not None:
            text = (workspace.root / error.location.path).read_bytes().decode("utf-8-sig", errors="replace")
            assert 1 <= error.location.line <= len(text.splitlines()) + 1
            assert error.location.column >= 1
    else:
        assert loaded.profile.environment == "case"
        size(loaded.profile, 2)  # what loads also fits
        assert type(loaded.profile).model_validate(loaded.profile.model_dump(mode="json")) == loaded.profile


def paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(deeper for key, value in below for deeper in paths(value, (*path, key)))]


@examples(400)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_yaml_ish_text(workspace: Workspace, text: str) -> None:
    check(workspace, text.encode())


@examples(150)
@given(
    st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass")))
)
def test_any_bytes(workspace: Workspace, data: bytes) -> None:
    check(workspace, data)


@examples(400)
@given(st.data())
def test_a_valid_profile_with_values_replaced(workspace: Workspace, data: st.DataObject) -> None:
    tree = copy.deepcopy(data.draw(st.sampled_from(SHIPPED)))
    tree["environment"] = "case"
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([p for p in paths(tree) if p]))
        node = tree
        for part in path[:-1]:
            node = node[part]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            node[path[-1]] = data.draw(VALUES)
        elif action == "remove":
            del node[path[-1]]
        elif isinstance(node, dict):
            node[data.draw(st.one_of(st.text(max_size=6), SCALARS))] = data.draw(VALUES)
        if not any(p for p in paths(tree)):
            break
    check(
        workspace, yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")
    )


@examples(200)
@given(st.data())
def test_a_valid_profile_with_bytes_changed(workspace: Workspace, data: st.DataObject) -> None:
    text = bytearray(
        (ROOT / "environments" / "local.yaml").read_bytes().replace(b": local\n", b": case\n", 1)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    check(workspace, bytes(text))


@examples(300)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.tuples(OVERRIDDEN, st.lists(PIECES, max_size=6).map("".join)).map("=".join),
        ),
        max_size=3,
    )
)
def test_any_override(workspace: Workspace, overrides: list[str]) -> None:
    check(workspace, b"extends: local\nenvironment: case\n", tuple(overrides))
