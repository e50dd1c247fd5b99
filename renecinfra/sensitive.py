"""A value that must not be shown. Imports nothing of ours."""

from __future__ import annotations

import hmac
from typing import Final

REDACTED: Final = "[REDACTED]"


class Secret:
    """Text that prints as ``[REDACTED]`` wherever it ends up: str, repr, format, JSON, tracebacks.

    ``reveal()`` is the only way to the value, so that every use is found by searching for it.
    Refuses pickling and copying into formats, because both are ways for it to reach a disk.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that needs it."""
        return self._value

    def __str__(self) -> str:
        return REDACTED

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    def __format__(self, spec: str) -> str:
        return format(REDACTED, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled")
