"""What every part of the profile model shares: strictness and the field types. No I/O."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_DURATION = re.compile(
    r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?"
)
_SIZE = re.compile(r"([0-9]{1,9})(Ki|Mi|Gi|Ti)")
_SIZE_FACTOR = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_DURATION_MAX: Final = timedelta(days=3650)
_SIZE_MAX: Final = 2**50

PATTERNS: dict[str, str] = {}
"""What each pattern of the model asks for in words, by the pattern: `must be …`."""


def matching(pattern: str, words: str) -> str:
    """``pattern``, remembered with the words that error messages and the reference use for it."""
    PATTERNS[pattern] = words
    return pattern


def blame(field: str, problem: str) -> PydanticCustomError:
    """The error of a rule inside one section, blaming one of its fields: ``{path}.{field} {problem}``."""
    return PydanticCustomError("blame", "{problem}", {"field": field, "problem": problem})


class ProfileModel(BaseModel):
    """A section of a profile: frozen, unknown keys refused, nothing converted, defaults checked too."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, hide_input_in_errors=True
    )


def parse_duration(value: Any) -> timedelta:
    """``1d2h3m4s5ms`` (any part may be absent) to a timedelta; raises ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError("must be a duration such as 30s, 5m, 1h30m or 7d")
    days, hours, minutes, seconds, millis = (int(part or 0) for part in match.groups())
    # Nine digits a part stay below timedelta's own limit.
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=millis)
    if duration > _DURATION_MAX:
        raise ValueError("must be a duration of at most 3650d")
    return duration


def format_duration(value: timedelta) -> str:
    """A timedelta in the form that profiles and Prometheus use: ``1d2h``, ``30s``, ``0s``."""
    millis = round(value.total_seconds() * 1000)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, millis = divmod(millis, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _whole_seconds(value: timedelta) -> timedelta:
    # For settings of programs that know no fractions of a second: 500ms would become 0, which means "never".
    if value.microseconds or value < timedelta(seconds=1):
        raise ValueError("must be whole seconds, at least 1s")
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return value


def parse_size(value: Any) -> int:
    """``256Mi``, ``10Gi`` (or bytes, whole KiB) to bytes; raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value if value % 1024 == 0 else -1
    else:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        size = int(match[1]) * _SIZE_FACTOR[match[2]] if match else -1
    if size < 0:
        raise ValueError("must be a size such as 256Mi or 10Gi")
    if not _SIZE_FACTOR["Mi"] <= size <= _SIZE_MAX:
        raise ValueError("must be a size between 1Mi and 1024Ti")
    return size


def format_size(value: int) -> str:
    """Bytes in the largest binary unit that divides them: ``10Gi``, ``1536Mi``."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if value and value % _SIZE_FACTOR[unit] == 0:
            return f"{value // _SIZE_FACTOR[unit]}{unit}"
    return str(value)


_DURATION_SCHEMA = {
    "type": "string",
    "pattern": r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$",
    "minLength": 2,
    "title": "duration",
}
_format = PlainSerializer(format_duration, when_used="json")

# BeforeValidators run from the right to the left, so parse_duration comes last in the list.
Duration = Annotated[timedelta, BeforeValidator(parse_duration), _format, WithJsonSchema(_DURATION_SCHEMA)]
"""Any duration, zero included."""
PositiveDuration = Annotated[
    timedelta,
    BeforeValidator(_positive),
    BeforeValidator(parse_duration),
    _format,
    WithJsonSchema(_DURATION_SCHEMA),
]
"""A duration above zero, to the millisecond."""
Seconds = Annotated[
    timedelta,
    BeforeValidator(_whole_seconds),
    BeforeValidator(parse_duration),
    _format,
    WithJsonSchema(_DURATION_SCHEMA),
]
"""A duration of whole seconds, at least one."""
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(Ki|Mi|Gi|Ti)$", "title": "size"}),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0, le=10_000)]
Positive = Annotated[int, Field(ge=1, le=100_000)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[
    str,
    Field(
        pattern=matching(
            r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$",
            "a name of 2 to 40 lower-case letters, digits and hyphens that begins with a letter",
        )
    ),
]
# One line, because these end up in configuration files where a line break would begin another setting.
Text = Annotated[
    str,
    Field(
        max_length=500,
        pattern=matching(r"^[^\x00-\x1f\x7f]+$", "a line of text (not empty)"),
    ),
]
EnvironmentValue = Annotated[
    str, Field(max_length=32_768, pattern=matching(r"^[^\x00]*$", "text without NUL characters"))
]
UrlPath = Annotated[
    str, Field(pattern=matching(r"^/[A-Za-z0-9._~/-]*$", "a URL path that begins with / and has no query"))
]
HttpUrl = Annotated[
    str,
    Field(
        max_length=500,
        pattern=matching(
            r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~:/?#!$&()*+,=%-]*)?$",
            "an http:// or https:// URL without a user name or password in it",
        ),
    ),
]
Image = Annotated[
    str,
    Field(
        max_length=500,
        pattern=matching(
            r"^[A-Za-z0-9][A-Za-z0-9._/-]*(:[0-9]{1,5}/[A-Za-z0-9._/-]+)?"
            r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$",
            "an image such as registry.example.org/renec/api:1.4.2",
        ),
    ),
]
SecretRef = Annotated[
    str,
    Field(
        pattern=matching(
            r"^(generated:[a-z][a-z0-9_]*|vault:[A-Za-z0-9._/-]+#[A-Za-z0-9_]+(@[0-9]+)?)$",
            "a reference such as generated:api_key or vault:api#key, never the secret itself",
        ),
        json_schema_extra={"title": "secret reference"},
    ),
]
