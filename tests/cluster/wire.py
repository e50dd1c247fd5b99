"""Bodies of requests as helm and kubectl send them: protobuf of the few kinds they use, and patches."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import yaml

MAGIC = b"k8s\x00"
_MERGE_KEYS = ("name", "containerPort", "mountPath", "topologyKey", "port", "key", "ip", "uid")


def body(raw: bytes) -> dict[str, Any]:
    """The object in a request."""
    if raw[:4] == MAGIC:
        return _protobuf(raw)
    decoded = json.loads(raw) if raw[:1] in (b"{", b"[") else yaml.load(raw, Loader=yaml.CSafeLoader)
    assert isinstance(decoded, dict)
    return decoded


def _fields(data: bytes) -> dict[int, list[Any]]:
    position, found = 0, {}

    def number() -> int:
        nonlocal position
        result = shift = 0
        while True:
            byte = data[position]
            position += 1
            result |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return result

    while position < len(data):
        tag = number()
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            value: Any = number()
        else:
            length = number() if kind == 2 else 4 if kind == 5 else 8
            value = data[position : position + length]
            position += length
        found.setdefault(field, []).append(value)
    return found


def _map(entries: list[bytes]) -> dict[str, bytes]:
    pairs = (_fields(entry) for entry in entries)
    return {pair.get(1, [b""])[0].decode(): pair.get(2, [b""])[0] for pair in pairs}


def _text(message: dict[int, list[Any]], field: int) -> str:
    return str(message.get(field, [b""])[0].decode())


def _protobuf(raw: bytes) -> dict[str, Any]:
    unknown = _fields(raw[4:])
    kind = _fields(unknown[1][0])
    message = _fields(unknown[2][0])
    found: dict[str, Any] = {"apiVersion": _text(kind, 1), "kind": _text(kind, 2)}
    if found["kind"] == "DeleteOptions":
        return found
    found["metadata"] = _metadata(message[1][0]) if message.get(1) else {}
    if found["kind"] == "Secret":
        data = _map(message.get(2, []))
        found["data"] = {key: base64.b64encode(value).decode() for key, value in data.items()}
        found["type"] = _text(message, 3) or "Opaque"
    elif found["kind"] == "ConfigMap":
        found["data"] = {key: value.decode() for key, value in _map(message.get(2, [])).items()}
    elif found["kind"] == "SelfSubjectAccessReview":
        attributes = _fields(_fields(message[2][0])[1][0])
        names = {1: "namespace", 2: "verb", 3: "group", 5: "resource"}
        found["spec"] = {
            "resourceAttributes": {name: _text(attributes, field) for field, name in names.items()}
        }
    return found


def _metadata(raw: bytes) -> dict[str, Any]:
    message = _fields(raw)
    plain = {1: "name", 2: "generateName", 3: "namespace", 5: "uid", 6: "resourceVersion"}
    found: dict[str, Any] = {
        name: _text(message, field) for field, name in plain.items() if message.get(field)
    }
    found = {key: value for key, value in found.items() if value}
    for field, name in ((11, "labels"), (12, "annotations")):
        if field in message:
            found[name] = {key: value.decode() for key, value in _map(message[field]).items()}
    return found


def merged(target: Any, patch: dict[str, Any], *, strategic: bool = False) -> Any:
    """A merge patch; with ``strategic``, lists of named things are merged by their names."""
    target = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if strategic and key.startswith("$"):
            continue
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            target[key] = merged(target.get(key), value, strategic=strategic)
        elif strategic and isinstance(value, list) and _named(value) and isinstance(target.get(key), list):
            target[key] = _merged_list(target[key], value)
        else:
            target[key] = value
    return target


def _named(items: list[Any]) -> str | None:
    """The key that a strategic patch tells a list's items apart by."""
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    return next((key for key in _MERGE_KEYS if all(key in item for item in items)), None)


def _merged_list(target: list[Any], patch: list[Any]) -> list[Any]:
    key = _named(patch)
    result = {item.get(key): item for item in target}
    for item in patch:
        if item.get("$patch") == "delete":
            result.pop(item[key], None)
        else:
            result[item[key]] = merged(result.get(item[key]), item, strategic=True)
    return list(result.values())


def without(target: Any, before: Any, now: Any) -> Any:
    """``target`` without what a manager applied ``before`` and no longer does ``now``."""
    if not isinstance(target, dict) or not isinstance(before, dict):
        return target
    now = now if isinstance(now, dict) else {}
    kept = {}
    for key, value in target.items():
        if key in before and key not in now:
            continue
        kept[key] = without(value, before.get(key), now.get(key))
    return kept
