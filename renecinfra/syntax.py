"""Whether a rendered file parses, so that nothing is written that its reader would refuse."""

from __future__ import annotations

import json
import re
from functools import lru_cache

import yaml
from yaml.composer import ComposerError

from renecinfra.errors import Location, ProfileError


def check_syntax(path: str, text: str, source: str) -> None:
    """Parse a rendered YAML, JSON or HCL file.

    Raises:
        ProfileError: it does not parse; the location is in the rendered text.
    """
    dot, suffix = path.rpartition(".")[1:]
    try:
        _parse(dot + suffix, text)
    except (yaml.YAMLError, ValueError) as error:
        raise ProfileError(
            "template-output-invalid",
            f"{source} renders to {suffix.upper()} that does not parse: {_one_line(error)}",
            location=Location(path, *_position(error)),
            hint="quote the value in the template, or change the profile value that it prints",
        ) from error


@lru_cache(maxsize=1024)  # environments share most of their files to the letter
def _parse(suffix: str, text: str) -> None:
    if suffix in (".yaml", ".yml"):
        _check_yaml(text)
    elif suffix == ".json":
        json.loads(text)
    elif suffix in (".tf", ".hcl", ".tfvars"):
        _check_hcl(text)


def _check_yaml(text: str) -> None:
    """Whether it parses, and its aliases are of something: from the events, without building the values."""
    anchors: set[str] = set()
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.DocumentStartEvent):
            anchors.clear()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                problem = f"found undefined alias {event.anchor!r}"
                # libyaml's mark, which the class takes like its own.
                raise ComposerError(None, None, problem, event.start_mark)  # type: ignore[arg-type]
        elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            anchors.add(event.anchor)


def _one_line(error: Exception) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "msg", None) or str(error)
    return re.sub(r"\s+", " ", str(problem)).strip()


def _position(error: Exception) -> tuple[int, int]:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return mark.line + 1, mark.column + 1
    return getattr(error, "lineno", 1), getattr(error, "colno", 1)


class _HclError(ValueError):
    def __init__(self, msg: str, lineno: int, colno: int) -> None:
        super().__init__(msg)
        self.msg, self.lineno, self.colno = msg, lineno, colno


_BRACKET = re.compile(r"[()\[\]{}]")


def _check_hcl(text: str) -> None:
    """Whether brackets and strings close. Terraform itself parses the rest at `validate`."""
    closing = {"(": ")", "[": "]", "{": "}"}
    open_brackets: list[tuple[str, int, int]] = []
    for line_number, line in enumerate(text.splitlines(), 1):
        stripped = re.sub(r'"(?:\\.|[^"\\])*"', lambda m: "_" * len(m[0]), line)
        stripped = re.split(r"#|//", stripped, maxsplit=1)[0]
        if '"' in stripped:
            raise _HclError("a string does not end on its line", line_number, stripped.index('"') + 1)
        for bracket in _BRACKET.finditer(stripped):
            char, column = bracket[0], bracket.start() + 1
            if char in closing:
                open_brackets.append((char, line_number, column))
            elif not open_brackets or closing[open_brackets.pop()[0]] != char:
                raise _HclError(f"unexpected {char}", line_number, column)
    if open_brackets:
        char, line_number, column = open_brackets[-1]
        raise _HclError(f"{char} is never closed", line_number, column)
