"""The JSON Schema of profiles as they are written, for editors. Generated from the model; deterministic.

A file may leave anything to what it extends, so nothing is required, and null takes an inherited value away.
The rules across sections, and what is required after ``extends``, are checked by ``renecinfra env validate``.
"""

from __future__ import annotations

import json
from typing import Any, Final

from renecinfra.profiles.model import Profile

FILE: Final = "schema.json"
HEADER: Final = f"# yaml-language-server: $schema={FILE}"
"""The first line of a profile, by which editors find the schema beside it."""
_NAME_PATTERN: Final = "^[a-z][a-z0-9-]{0,38}[a-z0-9]$"


def schema() -> dict[str, Any]:
    """The schema, in JSON Schema 2020-12, which pydantic writes."""
    generated = Profile.model_json_schema()
    definitions = {name: _relax(part) for name, part in sorted(generated.pop("$defs").items())}
    root = _relax(generated)
    name = {"type": "string", "pattern": _NAME_PATTERN}
    extends = {
        "description": "The profiles that this one begins with; later ones win.",
        "anyOf": [name, {"type": "array", "items": name}, {"type": "null"}],
    }
    root["properties"] = {"extends": extends, **root["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A profile of renecinfra",
        **{key: value for key, value in root.items() if key != "title"},
        "$defs": definitions,
    }


def text() -> str:
    """The schema as it is in environments/schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _relax(part: dict[str, Any]) -> dict[str, Any]:
    """A section's schema in which nothing is required and everything may be null."""
    relaxed = {key: value for key, value in part.items() if key != "required"}
    if "properties" in relaxed:
        properties = relaxed["properties"]
        relaxed["properties"] = {key: _nullable(value) for key, value in properties.items()}
    return relaxed


def _nullable(field: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {key: field[key] for key in ("description", "default") if key in field}
    if "$ref" in field:
        described.pop("default", None)  # that of a section is the defaults of its settings
    rest = {key: value for key, value in field.items() if key not in (*described, "title", "discriminator")}
    # A union told apart by `kind` is "any of": the kind may be written in a file that this one extends.
    branches = rest.pop("oneOf", None) or rest.pop("anyOf", None)
    if branches is None:
        if "patternProperties" in rest:
            patterns = rest["patternProperties"]
            rest["patternProperties"] = {key: _nullable(value) for key, value in patterns.items()}
            rest["additionalProperties"] = False
        branches = [rest]
    null = {"type": "null"}
    return {**described, "anyOf": [*branches, *([] if null in branches else [null])]}
