"""The schema of hashicorp/aws, read from the typings in the wheel of ``cdktn-provider-aws``.

The wheel holds one JavaScript class a resource, generated from the provider's schema. What is read here:
the comment above each property (computed, optional, required), the description by which the class writes
HCL (block or attribute, and its type), and which class a property's value has. What the typings do not say
is not in the schema: descriptions, sensitivity, and types that refer to themselves, which become untyped.
"""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Block = dict[str, Any]
"""``attributes``: name to ``{type, flags}``; ``blocks``: name to ``{nesting, min, max, block}``."""

_CLASS = re.compile(r"^class (\w+) extends cdkt[fn]\.(\w+)", re.MULTILINE)
_PROPERTY = re.compile(
    r"// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n"
    r"(.*?)(?=\n    // \w+ - computed|\n    // =====|\n\}|\Z)",
    re.DOTALL,
)
_VALUE_CLASS = re.compile(r'new (cdkt[fn]\.)?(\w+)\(this, "(\w+)"(?:, (true|false))?\)')
_GETTER = re.compile(r"get(\w+?)Attribute\('(\w+)'")
_TO_HCL = re.compile(r"function (\w+)ToHclTerraform\(struct\) \{(.*?)\n\}", re.DOTALL)
_HCL_ENTRY = re.compile(
    r"^ +(\w+): \{\n\s+value: (?:.*?),\n\s+isBlock: (\w+),"
    r"\n\s+type: \"(\w+)\",\n\s+storageClassType: \"(\w+)\"",
    re.MULTILINE | re.DOTALL,
)
_TOP_LEVEL = re.compile(r"synthesizeHclAttributes\(\) \{(.*?)\n    \}", re.DOTALL)
_TYPE = re.compile(r'tfResourceType = "(\w+)"')
_MEMBER = re.compile(r"package/lib/([^/]+)/index\.js")

_UNTYPED: Final = "dynamic"
_ELEMENTS: Final = {"string": "string", "number": "number", "boolean": "bool"}
_GETTERS: Final[dict[str, Any]] = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "StringListMap": ["map", ["list", "string"]],
}
_MAPS: Final[dict[str, Any]] = {
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "StringMapList": ["list", ["map", "string"]],
}
_NESTINGS: Final = {"list": "list", "set": "set", "map": "map", "struct": "single"}


@dataclass
class Schema:
    """A provider's schema; ``version`` is the provider's own."""

    version: str
    provider: Block
    resources: dict[str, Block] = field(default_factory=dict)
    data_sources: dict[str, Block] = field(default_factory=dict)

    def document(self, types: set[str] | None = None) -> dict[str, Any]:
        """The schema for the server, of all types or of some.

        Raises:
            LookupError: the provider has no such type.
        """
        unknown = (types or set()) - set(self.resources) - set(self.data_sources)
        if unknown:
            raise LookupError(f"hashicorp/aws {self.version} has no {', '.join(sorted(unknown))}")
        return {
            "version": self.version,
            "provider": self.provider,
            "resources": {k: v for k, v in self.resources.items() if types is None or k in types},
            "data_sources": {k: v for k, v in self.data_sources.items() if types is None or k in types},
        }


def read_wheel(wheel: Path) -> Schema:
    """The schema that the wheel's typings were generated from."""
    found = Schema("", {"attributes": {}, "blocks": {}})
    for name, text in _sources(wheel):
        if name == "package.json":
            found.version = json.loads(text)["cdktf"]["provider"]["version"]
            continue
        source = _Source(text)
        if source.kind == "Provider":
            found.provider = source.block()
        elif source.kind == "Resource":
            found.resources[source.type] = source.block()
        elif source.kind == "DataSource":
            found.data_sources[source.type] = source.block()
    _supplement(found)
    return found


def _supplement(found: Schema) -> None:
    """What the typings leave untyped and we use: WAF's statements, and the provider's tags."""
    kinds = dict.fromkeys(("allow", "block", "count"), _written({}))
    override = _written({"name": "R"}, action_to_use=_written({}, **kinds))
    managed = _written({"name": "R", "vendor_name": "R", "version": "O"}, rule_action_override=override)
    rate = _written({"limit": "R", "evaluation_window_sec": "CO", "aggregate_key_type": "O"})
    for name in ("limit", "evaluation_window_sec"):
        rate["attributes"][name]["type"] = "number"
    rule = found.resources["aws_wafv2_web_acl"]["blocks"]["rule"]["block"]
    del rule["attributes"]["statement"]
    statement = _written({}, managed_rule_group_statement=managed, rate_based_statement=rate)
    rule["blocks"]["statement"] = {"nesting": "list", "min": 1, "max": 1, "block": statement}
    # The provider's own blocks have no description by which they are written.
    own = {
        "default_tags": {"tags": ["map", "string"]},
        "ignore_tags": {"keys": ["set", "string"], "key_prefixes": ["set", "string"]},
    }
    for name, types in own.items():
        found.provider["attributes"].pop(name, None)
        attributes = {key: {"type": kind, "flags": "O"} for key, kind in types.items()}
        block = {"attributes": attributes, "blocks": {}}
        found.provider["blocks"][name] = {"nesting": "list", "min": 0, "max": 0, "block": block}


def _written(attributes: dict[str, str], **blocks: Block) -> Block:
    """A block of strings, by their flags, and of blocks."""
    return {
        "attributes": {name: {"type": "string", "flags": flags} for name, flags in attributes.items()},
        "blocks": {k: {"nesting": "list", "min": 0, "max": 0, "block": v} for k, v in blocks.items()},
    }


def _sources(wheel: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with outer.open(package) as stream, tarfile.open(fileobj=stream, mode="r|gz") as inner:
            for member in inner:
                if member.name == "package/package.json" or _MEMBER.fullmatch(member.name):
                    content = inner.extractfile(member)
                    assert content is not None
                    yield member.name.removeprefix("package/"), content.read().decode()


class _Source:
    """One JavaScript file: the class of a resource, data source or provider, and those of its parts."""

    def __init__(self, text: str) -> None:
        starts = [(match.start(), *match.groups()) for match in _CLASS.finditer(text)]
        ends = [*(start for start, *_ in starts[1:]), len(text)][: len(starts)]
        self._bodies = {name: text[start:end] for (start, name, _), end in zip(starts, ends, strict=True)}
        bases = {name: base for _, name, base in starts}
        kinds = ("TerraformResource", "TerraformDataSource", "TerraformProvider")
        self._main = next((name for name, base in bases.items() if base in kinds), "")
        self.kind = bases.get(self._main, "").removeprefix("Terraform")
        match = _TYPE.search(text)
        self.type = match[1] if match else ""
        self._hcl = {
            name[0].lower() + name[1:]: {entry[0]: entry[1:] for entry in _HCL_ENTRY.findall(body)}
            for name, body in _TO_HCL.findall(text)
        }

    def block(self) -> Block:
        """The schema of the file's main class."""
        match = _TOP_LEVEL.search(self._bodies[self._main])
        written = {entry[0]: entry[1:] for entry in _HCL_ENTRY.findall(match[1])} if match else {}
        return self._block(self._main, written)

    def _block(self, name: str, written: dict[str, tuple[str, ...]]) -> Block:
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for prop, computed, optional, required, code in _PROPERTY.findall(self._bodies[name]):
            flags = "".join(
                f for f, on in zip("COR", (computed, optional, required), strict=True) if on == "true"
            )
            entry = written.get(prop)
            value = _VALUE_CLASS.search(code)
            if value is None or value[1]:
                attributes[prop] = {"type": _plain_type(entry, value, code), "flags": flags or "O"}
                continue
            inner = self._inner(value[2])
            if inner is None:
                attributes[prop] = {"type": _UNTYPED, "flags": flags}
            elif entry is not None and entry[0] == "true":
                blocks[prop] = _nested(entry[1], value[2], flags, inner)
            else:
                attributes[prop] = {"type": _object_type(value, inner), "flags": flags}
        return {"attributes": attributes, "blocks": blocks}

    def _inner(self, value_class: str) -> Block | None:
        base = re.sub(r"(OutputReference|List|Map)$", "", value_class)
        reference = f"{base}OutputReference"
        if reference not in self._bodies:
            return None
        return self._block(reference, self._hcl.get(base[0].lower() + base[1:], {}))


def _nested(storage: str, value_class: str, flags: str, inner: Block) -> dict[str, Any]:
    nesting = _NESTINGS.get(storage, "list")
    single = nesting == "single"
    many = value_class.endswith(("List", "Map"))
    return {
        "nesting": nesting,
        "min": 1 if "R" in flags and not single else 0,
        "max": 0 if many or single else 1,
        "block": inner,
    }


def _object_type(value: re.Match[str], inner: Block) -> Any:
    members = {name: attribute["type"] for name, attribute in inner["attributes"].items()}
    for name, nested in inner["blocks"].items():
        parts = {key: attribute["type"] for key, attribute in nested["block"]["attributes"].items()}
        members[name] = ["list", ["object", parts]]
    described = ["object", members]
    if value[2].endswith("List"):
        return ["set" if value[4] == "true" else "list", described]
    return ["map", described] if value[2].endswith("Map") else described


def _plain_type(entry: tuple[str, ...] | None, value: re.Match[str] | None, code: str) -> Any:
    if entry is not None:
        _, kind, storage = entry
        if kind == "simple":
            return _ELEMENTS.get(storage, _UNTYPED)
        return [kind, _ELEMENTS.get(storage.replace("List", "").replace("Map", ""), _UNTYPED)]
    if value is not None:
        return _MAPS.get(value[2], _UNTYPED)
    getter = _GETTER.search(code)
    found = _GETTERS.get(getter[1], _UNTYPED) if getter else _UNTYPED
    if getter and "tolist" in code and isinstance(found, list) and found[0] == "list":
        return ["set", found[1]]
    return found
