"""Writes docs/reference/errors.md: every error of the package by its id, read from the source.

Run it as ``python tools/errors_page.py``; ``make format`` does. A test says when the page is not current.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from renecinfra import errors

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "errors.md"
INTRODUCTION = """\
# Errors

An error is one sentence, where it is (in a profile or a template), further lines where they help, and a hint:

```
error[profile-invalid]: database.max_connections must be at least 20
  environments/staging.yaml:41:20
hint: raise it, then run `renecinfra env validate staging`
```

The id in brackets stays the same from version to version, the sentence may not. Errors go to stderr; with
`--json` they are on stdout too, [as an object](json.md#errors). Below, … stands for what differs each time.

| id | exit code | message |
|---|---|---|
"""


def page() -> str:
    """The page as it should be now."""
    found: dict[tuple[str, int], set[str]] = {}
    for module in sorted((ROOT / "renecinfra").rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for identifier, code, message in _error(node):
                    found.setdefault((identifier, code), set()).add(message)
    rows = [
        f"| `{identifier}` | {code} | {'<br>'.join(sorted(filter(None, messages)))} |\n"
        for (identifier, code), messages in sorted(found.items())
    ]
    return INTRODUCTION + "".join(rows)


def _error(call: ast.Call) -> list[tuple[str, int, str]]:
    """Id, exit code and message of a call that makes one of our errors with an id that stands there."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.RenecError) and call.args):
        return []
    identifier = call.args[0]
    if not (isinstance(identifier, ast.Constant) and isinstance(identifier.value, str)):
        return []
    message = _text(call.args[1]) if len(call.args) > 1 else ""
    return [(identifier.value, int(kind.exit_code), message.replace("|", "\\|"))]


def _text(node: ast.expr) -> str:
    """A string's text, with … for each part that is filled in; nothing for one that is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
        return re.sub("…+", "…", "".join(map(str, parts)))
    return ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
