"""A Terraform plan as data, from ``terraform show -json``.

Source: https://developer.hashicorp.com/terraform/internals/json-format (format 1.x). No value that Terraform
marks as sensitive is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from renecinfra.errors import TerraformError
from renecinfra.sensitive import REDACTED

AttributePath = tuple[str | int, ...]
Action = Literal["create", "update", "delete", "replace", "read", "no-op", "forget"]
UNKNOWN: Final = "(known after apply)"

_ACTIONS: Final[dict[tuple[str, ...], Action]] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("read",): "read",
    ("no-op",): "no-op",
    ("forget",): "forget",
}
# An equal value under a name that is not marked is masked too, from this length on: terraform_data copies its
# sensitive `input` to an unmarked `output`.
_SHORTEST_COPY: Final = 6


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """What happens to one resource.

    ``before`` and ``after`` are its attributes with sensitive ones masked and unknown ones marked; None where
    there is nothing. ``replace_paths`` are the attributes that force a replacement, ``reason`` is
    Terraform's word for why (``replace_because_tainted``, ``replace_by_request`` …).
    """

    address: str
    type: str
    action: Action
    before: Any
    after: Any
    replace_paths: tuple[str, ...] = ()
    reason: str | None = None
    changed: tuple[AttributePath, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: changes in address order (no-ops among them), what drifted outside, and output changes."""

    changes: tuple[ResourceChange, ...]
    drift: tuple[ResourceChange, ...]
    outputs: Mapping[str, Action]
    terraform_version: str

    @property
    def pending(self) -> tuple[ResourceChange, ...]:
        """The changes that do something to the infrastructure."""
        return tuple(change for change in self.changes if change.action not in ("no-op", "read"))

    @property
    def counts(self) -> Mapping[Action, int]:
        """How many resources are created, updated, replaced, deleted …; only what occurs, no-ops left out."""
        return Counter(change.action for change in self.pending)

    @property
    def digest(self) -> str:
        """A hash of what would be done: equal for plans that do the same, whenever and wherever made.

        Sensitive values are hashed masked, so that the digest may be shown: plans that differ in nothing
        but what a sensitive value becomes are equal.
        """
        parts = [
            [change.address, change.action, change.replace_paths, change.changed, change.before, change.after]
            for change in self.pending
        ]
        outputs = sorted((name, action) for name, action in self.outputs.items() if action != "no-op")
        return hashlib.sha256(json.dumps([parts, outputs], sort_keys=True).encode()).hexdigest()


NOTHING: Final = Plan(changes=(), drift=(), outputs={}, terraform_version="")
"""The plan that Terraform has said to be empty."""


def parse_plan(document: Mapping[str, Any]) -> Plan:
    """The plan that ``terraform show -json PLANFILE`` printed.

    Raises:
        TerraformError: it is of a format that is not understood.
    """
    version = str(document.get("format_version", "none"))
    if version.partition(".")[0] != "1":
        raise TerraformError(
            "terraform-plan-format",
            f"Terraform printed a plan of format {version}, and only 1.x is understood",
            hint="use a version of Terraform that this version of renecinfra knows, or upgrade renecinfra",
        )
    resources = document.get("resource_changes") or []
    drifted = document.get("resource_drift") or []
    secrets = frozenset(_sensitive_texts([*resources, *drifted]))
    return Plan(
        changes=_changes(resources, secrets),
        drift=_changes(drifted, secrets),
        outputs={
            name: _action(change["actions"])
            for name, change in (document.get("output_changes") or {}).items()
        },
        terraform_version=str(document.get("terraform_version", "")),
    )


def _changes(resources: Sequence[Mapping[str, Any]], secrets: frozenset[str]) -> tuple[ResourceChange, ...]:
    changes = (_change(resource, secrets) for resource in resources)
    return tuple(sorted(changes, key=lambda change: (change.address, change.action)))


def _change(resource: Mapping[str, Any], secrets: frozenset[str]) -> ResourceChange:
    change = resource["change"]
    before = _masked(change.get("before"), change.get("before_sensitive"), secrets)
    after = _masked(change.get("after"), change.get("after_sensitive"), secrets)
    address = str(resource["address"])
    if resource.get("deposed"):
        address = f"{address} (deposed {resource['deposed']})"
    return ResourceChange(
        address=address,
        type=str(resource.get("type", "")),
        action=_action(change["actions"]),
        before=before,
        after=_with_unknown(after, change.get("after_unknown")),
        replace_paths=tuple(path_text(path) for path in change.get("replace_paths") or ()),
        reason=resource.get("action_reason"),
        changed=tuple(differing(change.get("before"), change.get("after"), change.get("after_unknown"))),
    )


def differing(
    before: Any, after: Any, unknown: Any = None, path: AttributePath = ()
) -> Iterator[AttributePath]:
    """Where two values differ, as deep as both have the same shape; nothing where one of them is not there.

    ``unknown`` is True, or of the same shape with True in it, where ``after`` is not known yet.
    """
    if unknown is True:
        yield path
    elif isinstance(before, dict) and isinstance(after, dict):
        marks = unknown if isinstance(unknown, dict) else {}
        for name in sorted({*before, *after, *marks}):
            yield from differing(before.get(name), after.get(name), marks.get(name), (*path, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        marked = unknown if isinstance(unknown, list) else []
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            mark = marked[index] if index < len(marked) else None
            yield from differing(old, new, mark, (*path, index))
    elif before != after and path:
        yield path


def _action(words: Sequence[str]) -> Action:
    try:
        return _ACTIONS[tuple(words)]
    except KeyError:
        raise TerraformError(
            "terraform-plan-format",
            f"Terraform planned an action that is not understood: {' then '.join(words)}",
            hint="upgrade renecinfra, or use an older version of Terraform",
        ) from None


def path_text(steps: Sequence[str | int]) -> str:
    """A path as Terraform writes it: ``rule.lifecycle[0].delete_after``."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _masked(value: Any, sensitive: Any, secrets: frozenset[str]) -> Any:
    """``value`` without what ``sensitive`` (True, or the same shape with True in it) marks."""
    if sensitive is True:
        return REDACTED
    if isinstance(value, dict):
        marks = sensitive if isinstance(sensitive, dict) else {}
        return {name: _masked(item, marks.get(name), secrets) for name, item in value.items()}
    if isinstance(value, list):
        items = sensitive if isinstance(sensitive, list) else []
        marked = [*items, *[None] * (len(value) - len(items))]
        return [_masked(item, mark, secrets) for item, mark in zip(value, marked, strict=False)]
    return REDACTED if isinstance(value, str) and value in secrets else value


def _with_unknown(value: Any, unknown: Any) -> Any:
    """``value`` with a mark wherever ``unknown`` says that the value comes only with the apply."""
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, dict) and isinstance(value, dict):
        missing = {name: None for name in unknown if name not in value and unknown[name]}
        return {name: _with_unknown(item, unknown.get(name)) for name, item in {**value, **missing}.items()}
    if isinstance(unknown, list) and isinstance(value, list):
        marks = [*unknown, *[None] * (len(value) - len(unknown))]
        return [_with_unknown(item, mark) for item, mark in zip(value, marks, strict=False)]
    return value


def _sensitive_texts(resources: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for resource in resources:
        change = resource["change"]
        yield from _marked_texts(change.get("before"), change.get("before_sensitive"))
        yield from _marked_texts(change.get("after"), change.get("after_sensitive"))


def _marked_texts(value: Any, sensitive: Any) -> Iterator[str]:
    if isinstance(value, str):
        if sensitive is True and len(value) >= _SHORTEST_COPY:
            yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _marked_texts(item, sensitive.get(name) if isinstance(sensitive, dict) else sensitive)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            inner = sensitive[index] if isinstance(sensitive, list) and index < len(sensitive) else None
            yield from _marked_texts(item, inner if isinstance(sensitive, list) else sensitive)
