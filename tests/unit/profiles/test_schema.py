from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from renecinfra.profiles import reference, schema

ROOT = Path(__file__).parents[3]
VALIDATOR = jsonschema.Draft202012Validator(schema.schema())


def test_the_schema_file_is_current() -> None:
    assert (ROOT / "environments" / schema.FILE).read_text() == schema.text(), (
        "run `renecinfra env schema --write`"
    )


def test_the_reference_is_current() -> None:
    page = ROOT / "docs" / "reference" / "profile.md"
    assert page.read_text() == reference.markdown(), "generate it with renecinfra.profiles.reference.markdown"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("file", sorted((ROOT / "environments").glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_profiles_name_the_schema_and_follow_it(file: Path) -> None:
    text = file.read_text()
    assert text.splitlines()[0] == schema.HEADER
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "part",
    [
        {"extends": ["base", "local"]},
        {"platform": {"port_base": 9000}},
        {"database": None},
        {"database": {"name": None, "pooler": {"pool_size": "auto"}}},
        {"monitoring": {"receivers": {"on-call": None}}},
        {"workloads": {"api": {"environment": {"A": None}}}},
        {"terraform": {"backend": {"bucket": "renec-state"}}},
    ],
)
def test_what_extends_or_null_allow(part: dict[str, Any]) -> None:
    VALIDATOR.validate(part)


@pytest.mark.parametrize(
    "part",
    [
        {"databse": {}},
        {"database": {"max_connections": 5}},
        {"database": {"max_connections": "100"}},
        {"database": {"password": "hunter2"}},
        {"workloads": {"api": {"environment": {"lower": "x"}}}},
        {"workloads": {"api": {"environment": {"A": 1}}}},
        {"edge": {"upstream_timeout": "30"}},
        {"platform": {"kind": "gcp"}},
        {"monitoring": {"receivers": {"ops": {"kind": "fax"}}}},
    ],
)
def test_what_editors_mark(part: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(part)
