"""What differs of a resource or an object, as lines of a diff, without what its name says is a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from renecinfra.sensitive import REDACTED
from renecinfra.terraform.plan import AttributePath, path_text

_LONGEST: Final = 300
# Terraform masks what its providers mark. This is for those that forget to, and for objects of a cluster.
_SECRET_NAME: Final = re.compile(
    r"(?i)(passw|secret|token|private_?key|api_?key|credential|auth_string|connection_string|dsn$)"
)
_NO_SECRET: Final = re.compile(
    r"(?i)(_arn|_id|_ids|_name|_names|_ttl|_enabled|_length|_rotation.*|_version|Ref)$"
)


def is_secret_name(name: str) -> bool:
    """Whether what has this name is a secret, going by the name alone."""
    return bool(_SECRET_NAME.search(name)) and not _NO_SECRET.search(name)


def masked(value: Any, name: str = "") -> Any:
    """``value`` without what is a secret by its name."""
    if isinstance(value, Mapping):
        # `{name: DB_PASSWORD, value: …}`, as containers have their environment
        label = value.get("name") if "value" in value else None
        return {
            key: masked(item, str(label) if key == "value" and isinstance(label, str) else str(key))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item, name) for item in value]
    return REDACTED if value not in (None, "", True, False) and is_secret_name(name) else value


def attribute_diff(before: Any, after: Any, paths: Sequence[AttributePath]) -> str:
    """The paths that differ with both values, as `-` and `+` lines; for something new or gone, all of it."""
    return "\n".join(_lines(masked(before), masked(after), paths))


def _lines(before: Any, after: Any, paths: Sequence[AttributePath]) -> Iterator[str]:
    if before is None or after is None:
        sign, there = ("+", after) if before is None else ("-", before)
        for key, value in sorted(there.items()) if isinstance(there, Mapping) else ():
            if value not in (None, [], {}, ""):
                yield f"{sign} {key} = {_shown(value)}"
        return
    for path in dict.fromkeys(paths):
        yield f"- {path_text(path)} = {_shown(_get(before, path))}"
        yield f"+ {path_text(path)} = {_shown(_get(after, path))}"


def _get(value: Any, path: AttributePath) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return value if value == REDACTED else None
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
