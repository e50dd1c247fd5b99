"""docs/reference/profile.md: every setting with its type, default and meaning. Generated from the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from renecinfra.profiles.base import PATTERNS
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import PORT_OFFSETS

_INTRODUCTION: Final = """\
# Profile reference

<!-- Generated from the model; do not edit. -->

Every setting of a profile, generated from the model. How files extend each other, how a value is overridden
and which rules hold across sections is in the [guide](../guide/profiles.md). What is required may be in the
file itself or in one that it extends.
"""

_LIMITS: Final = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "below"),
)


@dataclass(frozen=True, slots=True)
class _Section:
    path: str
    variant: str
    schema: dict[str, Any]


def markdown() -> str:
    """The page."""
    generated = Profile.model_json_schema()
    definitions = generated["$defs"]
    top = _Section("", "", generated)
    parts = [_INTRODUCTION, "## the profile itself", "", *_table(top)]
    for name, field in generated["properties"].items():
        for section in _sections(name, field, definitions):
            variant = f" ({section.variant})" if section.variant else ""
            about = section.schema.get("description", "").partition("\n")[0].replace("``", "`")
            parts += [f"## {section.path}{variant}", "", about, "", *_table(section)]
    return "\n".join(parts)


def _sections(path: str, field: dict[str, Any], definitions: dict[str, Any]) -> Iterator[_Section]:
    """The sections at and below a field, depth first."""
    union = field.get("discriminator")
    if union:
        for value, reference in union["mapping"].items():
            part = _resolve(reference, definitions)
            yield from _with_below(_Section(path, f"{union['propertyName']}: {value}", part), definitions)
        return
    for value in field.get("patternProperties", {}).values():
        path, field = f"{path}.NAME", value
    if "$ref" in field:
        yield from _with_below(_Section(path, "", _resolve(field["$ref"], definitions)), definitions)


def _with_below(section: _Section, definitions: dict[str, Any]) -> Iterator[_Section]:
    yield section
    for name, field in section.schema["properties"].items():
        yield from _sections(f"{section.path}.{name}", field, definitions)


def _table(section: _Section) -> list[str]:
    """The section's settings; those that are sections themselves have their own tables."""
    rows = []
    for name, field in section.schema["properties"].items():
        if _is_section(field):
            continue
        default = "required" if name in section.schema.get("required", ()) else _default(field)
        path = f"{section.path}.{name}" if section.path else name
        if section.path == "platform.ports":
            default = f"`port_base` + {PORT_OFFSETS[name]}"
        rows.append(
            f"| `{path}` | {_cell(_type(field))} | {default} | {_cell(field.get('description', ''))} |"
        )
    return ["| setting | type | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []


def _is_section(field: dict[str, Any]) -> bool:
    values = list(field.get("patternProperties", {}).values())
    return "$ref" in field or "discriminator" in field or any("$ref" in value for value in values)


def _resolve(reference: str, definitions: dict[str, Any]) -> dict[str, Any]:
    resolved: dict[str, Any] = definitions[reference.removeprefix("#/$defs/")]
    return resolved


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(branch) for branch in field["anyOf"] if branch.get("type") != "null")
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("title") in ("duration", "size"):
        return str(field["title"])
    return _plain_type(field)


def _plain_type(field: dict[str, Any]) -> str:
    kind = field.get("type")
    if kind == "array":
        return f"list of: {_type(field['items'])}"
    if kind == "object":
        [(pattern, value)] = field["patternProperties"].items()
        return f"mapping of {PATTERNS[pattern]} to {_type(value)}"
    if kind in ("integer", "number"):
        return _number(field)
    return "true or false" if kind == "boolean" else PATTERNS.get(field.get("pattern", ""), "text")


def _number(field: dict[str, Any]) -> str:
    words = "whole number" if field["type"] == "integer" else "number"
    bounds = [f"{word} {field[key]}" for key, word in _LIMITS if key in field]
    return f"{words}, {', '.join(bounds)}" if bounds else words


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return "none" if "default" in field else "empty"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
