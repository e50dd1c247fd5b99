"""What an upgrade would change: objects by objects, without what is random and without secrets. Pure."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

_RANDOM: Final = "(made anew each time)"
Key = tuple[str, str, str, str]
Objects = Mapping[Key, Any]


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """How one object differs; ``old`` and ``new`` are never shown, because a Secret's hold its values."""

    kind: Literal["add", "change", "remove"]
    object: str
    diff: str
    old: Any = field(default=None, repr=False, compare=False)
    new: Any = field(default=None, repr=False, compare=False)


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes' charts write it: `=` is a text, as in Prometheus' matchers."""


def _text(loader: _Loader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("tag:yaml.org,2002:value", _text)


def objects(manifest: str) -> dict[Key, Any]:
    """The objects of a manifest by apiVersion, kind, namespace and name."""
    found = {}
    # S506: the loader is a safe one.
    for document in yaml.load_all(manifest, Loader=_Loader):
        for one in _flat(document):
            metadata = one.get("metadata") or {}
            key = (one["apiVersion"], one["kind"], metadata.get("namespace") or "", metadata.get("name", ""))
            found[key] = one
    return found


def _flat(document: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(document, dict) or "kind" not in document:
        return
    if document["kind"] == "List":
        for item in document.get("items") or []:
            yield from _flat(item)
    else:
        yield document


def without_random(wanted: Objects, again: Objects, present: Objects) -> dict[Key, Any]:
    """``wanted`` with what differs between two renderings taken from what is ``present``.

    Certificates and passwords that a chart makes itself are new at each rendering; they are no change.
    """
    return {key: _settled(one, again.get(key), present.get(key)) for key, one in wanted.items()}


def _settled(one: Any, again: Any, present: Any) -> Any:
    if one == again:
        return one
    if isinstance(one, dict) and isinstance(again, dict):
        old = present if isinstance(present, dict) else {}
        return {key: _settled(value, again.get(key), old.get(key)) for key, value in one.items()}
    if isinstance(one, list) and isinstance(again, list) and len(one) == len(again):
        olds = present if isinstance(present, list) and len(present) == len(one) else [None] * len(one)
        return [_settled(*three) for three in zip(one, again, olds, strict=True)]
    return _RANDOM if present is None else present


def changes(present: Objects, wanted: Objects) -> list[ObjectChange]:
    """The differences, by object; the values of Secrets are hidden, their change is not."""
    found = []
    for key in sorted({*present, *wanted}):
        old, new = present.get(key), wanted.get(key)
        if old == new:
            continue
        kind: Literal["add", "change", "remove"] = "change"
        if old is None or new is None:
            kind = "add" if old is None else "remove"
        found.append(ObjectChange(kind, _label(key), _diff(key, old, new), old, new))
    return found


def _label(key: Key) -> str:
    _, kind, namespace, name = key
    return f"{kind} {namespace + '/' if namespace else ''}{name}"


def _diff(key: Key, old: Any, new: Any) -> str:
    if key[1] == "Secret":
        old, new = _hidden(old, new), _hidden(new, old, changed=True)
    before, after = _lines(old), _lines(new)
    label = _label(key)
    return "\n".join(difflib.unified_diff(before, after, f"a/{label}", f"b/{label}", lineterm="", n=2))


def _lines(value: Any) -> list[str]:
    return [] if value is None else yaml.safe_dump(value, sort_keys=True, width=200).splitlines()


def _hidden(secret: Any, other: Any, *, changed: bool = False) -> Any:
    """A Secret without its values; one that differs is marked on its new side."""
    if secret is None:
        return None
    shown = copy.deepcopy(secret)
    for part in ("data", "stringData"):
        for key, value in (secret.get(part) or {}).items():
            same = other is not None and (other.get(part) or {}).get(key) == value
            shown[part][key] = "(hidden, new)" if changed and not same else "(hidden)"
    annotations = (shown.get("metadata") or {}).get("annotations") or {}
    if "kubectl.kubernetes.io/last-applied-configuration" in annotations:
        annotations["kubectl.kubernetes.io/last-applied-configuration"] = "(hidden)"
    return shown


def unknown_keys(
    values: Any, defaults: Any, mentioned: Collection[str] = (), free: Sequence[str] = ()
) -> list[str]:
    """Keys of our values that a chart does not know, so that it would ignore them in silence.

    A key is known that the defaults have at that place, or that the defaults' text has anywhere, if only in a
    comment (``mentioned``). Below an empty map, a list or null, and below ``free`` paths, anything may stand.
    """
    found = _unknown(values, defaults, "", set(free))
    return sorted(path for path in found if path.rpartition(".")[2] not in mentioned)


def _unknown(values: Any, defaults: Any, path: str, free: Collection[str]) -> Iterator[str]:
    if not isinstance(values, dict) or not isinstance(defaults, dict) or not defaults or path in free:
        return
    for key, value in values.items():
        here = f"{path}.{key}" if path else str(key)
        if key not in defaults:
            yield here
        else:
            yield from _unknown(value, defaults[key], here, free)
