"""What is wrong with a profile, in words for people, at the place where it was written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NoReturn, get_args

from pydantic_core import ErrorDetails

from renecinfra.errors import ProfileError
from renecinfra.profiles.base import PATTERNS, ProfileModel
from renecinfra.profiles.tree import MappingNode, Node, Scalar, Source, dotted, find, shown, source_of

_SHOWN: Final = 20
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; ``message`` is a sentence that holds no value of a secret."""

    id: str
    path: Path
    message: str
    source: Source
    hint: str | None = None


def fail(problems: Iterable[Problem], environment: str, files: Sequence[str]) -> NoReturn:
    """Raise the first problem in the order of overrides, then ``files``, then lines; the rest are details.

    Raises:
        ProfileError: always.
    """
    rank = {path: number for number, path in enumerate(files)}

    def order(problem: Problem) -> tuple[int, int, int]:
        place = problem.source.location
        return (rank.get(place.path, len(rank)), place.line, place.column) if place else (-1, 0, 0)

    first, *others = sorted(problems, key=order)
    details = [f"{problem.source}: {problem.message}" for problem in others[:_SHOWN]]
    if len(others) > _SHOWN:
        details.append(f"and {len(others) - _SHOWN} more")
    place = first.source.location
    suffix = f" (set by {first.source})" if place is None else ""
    again = f"then run `renecinfra env validate {environment}`"
    raise ProfileError(
        first.id,
        first.message + suffix,
        location=place,
        hint=f"{first.hint or 'change the value'}, {again}",
        details=tuple(details),
    )


def from_validation(
    errors: Iterable[ErrorDetails], root: MappingNode, model: type[ProfileModel]
) -> list[Problem]:
    """Pydantic's errors as problems, one for each path: the branches of a union are joined."""
    found: dict[Path, Problem] = {}
    for error in errors:
        problem = _problem(error, root, model)
        before = found.get(problem.path)
        if before is None:
            found[problem.path] = problem
        elif before.message != problem.message:
            rest = problem.message.removeprefix(dotted(problem.path)).strip().removeprefix("must be ")
            found[problem.path] = Problem(
                before.id, before.path, f"{before.message} or {rest}", before.source, before.hint
            )
    return list(found.values())


def _problem(error: ErrorDetails, root: MappingNode, model: type[ProfileModel]) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    path = _path(error["loc"], root, named=kind in ("missing", "extra_forbidden"))
    if kind == "blame":
        path = (*path, context["field"])
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, str(context["discriminator"]).strip("'"))
    name = dotted(path)
    if kind == "extra_forbidden":
        known = list(fields_at(model, root, path[:-1]))
        where = f" in {dotted(path[:-1])}" if len(path) > 1 else ""
        message = f"there is no setting {shown(str(path[-1]))}{where}"
        return Problem(
            "profile-unknown-key",
            path,
            message,
            source_of(root, path, key=True),
            _suggest(str(path[-1]), known),
        )
    is_key = error["loc"][-1:] == ("[key]",)
    node = find(root, path)
    words = _words(kind, context, error["msg"])
    message = f"the key {name} {words}" if is_key else f"{name} {words}"
    return Problem(
        "profile-invalid", path, message, source_of(root, path, key=is_key), _hint(kind, context, node)
    )


def _path(loc: Sequence[str | int], root: MappingNode, *, named: bool) -> Path:
    """The path in the profile: pydantic's, without the names that it gives to the branches of unions."""
    path: list[str | int] = []
    node: Node | None = root
    for index, part in enumerate(loc):
        below = find(node, [part]) if node is not None else None
        if below is not None or (named and index == len(loc) - 1):
            path.append(part)
            node = below
    return tuple(path)


_LIMITS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than_equal": ("must be at most {}", "le"),
    "greater_than": ("must be more than {}", "gt"),
    "less_than": ("must be less than {}", "lt"),
    "string_too_long": ("must have at most {} characters", "max_length"),
})  # fmt: skip
_WORDS: Final[Mapping[str, str]] = MappingProxyType({
    "missing": "is missing",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "too_short": "must not be an empty list",
    "dict_type": "must be a section of keys and values",
    "model_type": "must be a section of keys and values",
    "model_attributes_type": "must be a section of keys and values",
    "union_tag_not_found": "is missing",
})  # fmt: skip


def _words(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in _LIMITS:
        template, key = _LIMITS[kind]
        return template.format(context[key])
    if kind in ("blame", "value_error"):
        return str(context["problem" if kind == "blame" else "error"])
    if kind == "string_pattern_mismatch":
        return f"must be {PATTERNS[context['pattern']]}"
    if kind in ("literal_error", "union_tag_invalid"):
        return f"must be {_choices(context['expected' if kind == 'literal_error' else 'expected_tags'])}"
    return _WORDS.get(kind) or f"is not valid: {message[:1].lower()}{message[1:]}"


def _choices(expected: str) -> str:
    names = re.findall(r"'([^']*)'", expected)
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def _hint(kind: str, context: Mapping[str, Any], node: Node | None) -> str | None:
    if kind in ("missing", "union_tag_not_found"):
        return "add it"
    if not isinstance(node, Scalar):
        return None
    if kind == "string_type":
        return "put the value in quotes"
    if kind in ("int_type", "float_type", "bool_type") and node.quoted:
        return "write the value without quotes"
    expected = context.get("expected") or context.get("expected_tags")
    if expected and isinstance(node.value, str):
        return _suggest(node.value, re.findall(r"'([^']*)'", str(expected)), otherwise=None)
    return None


def _suggest(written: str, known: Sequence[str], otherwise: str | None = "remove it") -> str | None:
    close = difflib.get_close_matches(written, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}? Mend it" if close else otherwise


def fields_at(model: type[ProfileModel], root: MappingNode, path: Sequence[str | int]) -> tuple[str, ...]:
    """The names that a section of the profile may have; where ``kind`` decides, what that kind may have."""
    current: list[type[ProfileModel]] = [model]
    node: Node | None = root
    for part in path:
        node = find(node, [part]) if node is not None else None
        fields = [m.model_fields[str(part)] for m in current if str(part) in m.model_fields]
        # A mapping of free names (receivers) has one more part, which names no field.
        current = [m for field in fields for m in _models(field.annotation)] if fields else current
        tag = fields[0].discriminator if fields else None
        if isinstance(tag, str) and node is not None:
            chosen = find(node, [tag])
            current = [m for m in current if isinstance(chosen, Scalar) and _has_tag(m, tag, chosen.value)]
    names = [name for m in current for name in m.model_fields]
    return ("extends", *names) if not path else tuple(names)


def _models(annotation: Any) -> list[type[ProfileModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ProfileModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _has_tag(model: type[ProfileModel], tag: str, value: object) -> bool:
    return value in get_args(model.model_fields[tag].annotation)
