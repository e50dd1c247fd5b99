"""Failures of an apply that go away by themselves, as a list. Whatever is not in it is not tried again."""

from __future__ import annotations

import re
from typing import Final

from renecinfra.errors import RenecError

PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    (
        r"Throttling|ThrottledException|RequestLimitExceeded|TooManyRequests|Rate exceeded|SlowDown",
        "AWS was asked too often",
    ),
    (
        r"ServiceUnavailable|InternalError|InternalFailure|InternalServerError|StatusCode: 50[0234]",
        "AWS failed by itself",
    ),
    (
        r"connection reset by peer|i/o timeout|TLS handshake timeout|no such host|unexpected EOF",
        "the network failed",
    ),
    (
        r"OperationAborted|A conflicting conditional op|ConcurrentModification|PriorRequestNotComplete",
        "something else was changed at the same time",
    ),
    (
        r"cannot be assumed by|Invalid principal in policy|InvalidParameterException: .*[Rr]ole",
        "a new role was not known everywhere yet",
    ),
    (
        r"ResourceInUseException|InvalidDBInstanceState|InvalidReplicationGroupState|ResourceConflictException",
        "AWS was still busy with it",
    ),
    (
        r"DependencyViolation|has dependencies and cannot be deleted|mapped public address",
        "what depended on it was not gone yet",
    ),
)
"""What Terraform's error says (a regular expression), and why it happens."""
PAUSES: Final = (15.0, 45.0, 120.0)
"""Seconds before each further try."""


def reason(error: RenecError) -> str | None:
    """Why a failure is worth another try; None where it is not. All of its errors must be."""
    if error.id != "terraform-failed":
        return None
    reasons = [_reason(text) for text in _errors(error)]
    return reasons[0] if all(reasons) else None


def _errors(error: RenecError) -> list[str]:
    """The text of each of its errors: the headline with the lines that follow it."""
    texts = [error.message]
    for line in error.details:
        if line.startswith("also: "):
            texts.append(line)
        else:
            texts[-1] += f"\n{line}"
    return texts


def _reason(text: str) -> str | None:
    return next((why for pattern, why in PATTERNS if re.search(pattern, text)), None)
