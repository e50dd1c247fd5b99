"""Whether an attribute changed in the way that a rule is about. Where it cannot be told, it did."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from renecinfra.review.grades import When
from renecinfra.terraform.plan import UNKNOWN

EVERYBODY: Final = frozenset({"0.0.0.0/0", "::/0"})
# Kubernetes' quantities; a bare number has no suffix.
_QUANTITY: Final = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)(m|[KMGTPE]i|[kMGTPE])?")
_FACTORS: Final = {"": 1.0, "m": 1e-3} | {
    f"{letter}{suffix}": float(base**power)
    for suffix, base in (("i", 1024), ("", 1000))
    for power, letter in enumerate(" kMGTPE" if not suffix else " KMGTPE")
    if power
}


def holds(when: When | None, before: Any, after: Any) -> bool:
    """Whether the change from ``before`` to ``after`` is of the kind ``when``; None is any change."""
    if when is None:
        return True
    if UNKNOWN in (before, after):
        return True
    return _CONDITIONS[when](before, after)


def number(value: Any) -> float | None:
    """A number, or a quantity such as ``10Gi``; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) * _FACTORS[match[2] or ""] if match else None


def _compare(before: Any, after: Any, lower: bool) -> bool:
    old, new = number(before), number(after)
    if old is None or new is None:
        return True
    return new < old if lower else new > old


def _lifetime(value: Any) -> float | None:
    return math.inf if value in (None, 0, "0") else number(value)


def _shortened(before: Any, after: Any) -> bool:
    old, new = _lifetime(before), _lifetime(after)
    return old is None or new is None or new < old


def _members(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return list(value.items())
    return [] if value is None else [value]


def _has_more(first: Any, second: Any) -> bool:
    known = _members(first)
    return any(member not in known for member in _members(second))


def _open(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_open(item) for item in value.values())
    if isinstance(value, list):
        return any(_open(item) for item in value)
    return isinstance(value, str) and value in {*EVERYBODY, UNKNOWN}


_CONDITIONS: Final[Mapping[When, Callable[[Any, Any], bool]]] = {
    "raised": lambda before, after: _compare(before, after, lower=False),
    "lowered": lambda before, after: _compare(before, after, lower=True),
    "shortened": _shortened,
    "added": _has_more,
    "removed": lambda before, after: _has_more(after, before),
    "enabled": lambda before, after: after is True and before is not True,
    "disabled": lambda before, after: after is not True and before is not False,
    "opened": lambda before, after: _open(after) and not _open(before),
}
