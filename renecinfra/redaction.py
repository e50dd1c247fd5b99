"""Takes known secrets out of text that is about to be shown or stored.

The second line of defence: secrets are kept out of argv, logs and rendered files in the first place, but
what other programs print is theirs to decide.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from renecinfra.sensitive import REDACTED, Secret

# Hiding every "a" or "123" of an output would hide the output; no generated secret is this short.
_SHORTEST = 4
# A line of a PEM block has 64 characters; its last line may be shorter and is then not a secret by itself.
_SHORTEST_LINE = 16


class Redactor:
    """Replaces every registered secret in a text, as it is and as encoded by common means.

    Found are the value itself, its base64 form (both alphabets, also inside a longer encoded text, as in a
    ``Basic`` header), its URL-encoded and its JSON-escaped form, and each long line of a value of several
    lines. Values under 4 characters are not looked for.
    """

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()
        self.hidden = 0

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms)} forms, {self.hidden} hidden)"

    def register(self, secret: Secret) -> None:
        """Hide ``secret`` from now on."""
        with self._lock:
            self._forms.update(_forms(secret.reveal()))
            self._pattern = None

    def _compiled(self) -> re.Pattern[str] | None:
        """Made when it is first needed: a hundred secrets are registered one by one before any output."""
        with self._lock:
            if self._pattern is None and self._forms:
                longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
                self._pattern = re.compile("|".join(map(re.escape, longest_first)))
            return self._pattern

    def __call__(self, text: str) -> str:
        """``text`` with every registered secret replaced; ``hidden`` counts the replacements."""
        pattern = self._pattern or self._compiled()
        if pattern is None:
            return text
        shown, count = pattern.subn(REDACTED, text)
        if count:
            with self._lock:
                self.hidden += count
        return shown


def _forms(value: str) -> Iterator[str]:
    if len(value) < _SHORTEST:
        return
    yield value
    yield from (quote(value, safe=""), quote(value), quote_plus(value))
    yield from (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    yield from _base64_forms(value.encode())
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE and not line.startswith("-----"))


def _base64_forms(value: bytes) -> Iterator[str]:
    """The characters that depend on ``value`` alone, for each of its three alignments in an encoded text."""
    for offset in range(3):
        padded = bytes(offset) + value
        first, last = -(-offset * 8 // 6), len(padded) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            form = encode(padded).decode()[first:last]
            if len(form) >= _SHORTEST:
                yield form


redactor = Redactor()
"""The one of this process: whoever resolves a secret registers it here."""
