"""A plan as a comment on a pull request: Markdown under GitHub's limit, the most risky told first.

What does not fit is left out from the other end: first the differences of safe changes, then those of
riskier ones, then the rows of safe changes. A stateful change is named before anything else. The marker in
the first line is how the comment is found again, to be updated in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from renecinfra.redaction import redactor
from renecinfra.review.change import Change
from renecinfra.review.grades import Grade
from renecinfra.review.outcome import Outcome

MARKER: Final = "<!-- renecinfra plan -->"
LIMIT: Final = 65_536
"""GitHub refuses longer comments. It counts characters; bytes are counted here, which are never fewer."""
_HEADINGS: Final = {
    Grade.STATEFUL: "Stateful: data is lost",
    Grade.CAUTION: "Caution",
    Grade.SAFE: "Safe",
}
_LONGEST_REASON: Final = 200
_LONGEST_ADDRESS: Final = 220
_NOTE_ROOM: Final = 400
_SPECIAL: Final = re.compile(r"([\\`*_\[\]|~])")


@dataclass(frozen=True, slots=True)
class _Section:
    """One environment's part: what is always there, and its changes."""

    outcome: Outcome
    head: str


def comment(outcomes: Sequence[Outcome], reproduce: str, *, limit: int = LIMIT) -> str:
    """The comment for all planned environments; ``reproduce`` is the command that shows the same locally.

    Raises:
        ValueError: the limit has no room even for the headings.
    """
    # Before anything is escaped, cut or measured: a secret would not be found any more afterwards.
    sections = [_Section(outcome, _head(outcome)) for outcome in map(_without_secrets, outcomes)]
    foot = f"\nReproduce it locally with {code(reproduce)}.\n"
    budget = _Budget(limit - _size(MARKER) - _size(foot) - _NOTE_ROOM - sum(_size(s.head) for s in sections))
    rows = _fitting_rows(sections, budget)
    diffs = _fitting_diffs(sections, budget)
    parts = [MARKER] if sections else [MARKER, "\n\nThis changes no environment.\n"]
    for section in sections:
        parts += [section.head, *_tables(section.outcome, rows), *_details(section.outcome, diffs)]
    text = "".join(parts) + _note(sections, rows, diffs) + foot
    if _size(text) > limit:
        raise ValueError(f"a comment of {limit} bytes has no room for {len(sections)} environments")
    return text


def _without_secrets(outcome: Outcome) -> Outcome:
    if outcome.review is None:
        return outcome
    changes = (
        replace(
            change,
            address=redactor(change.address),
            reasons=tuple(map(redactor, change.reasons)),
            diff=redactor(change.diff),
        )
        for change in outcome.review.changes
    )
    return replace(outcome, review=replace(outcome.review, changes=tuple(changes)))


class _Budget:
    """Bytes that are left."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, text: str) -> bool:
        """Whether there is room for ``text``; it is taken then."""
        size = _size(text)
        if size > self.left:
            return False
        self.left -= size
        return True


_Key = tuple[str, str, str, str]


def _key(outcome: Outcome, change: Change) -> _Key:
    return outcome.environment, change.layer, change.address, change.action


def _by_risk(sections: Sequence[_Section]) -> Iterator[tuple[Outcome, Change]]:
    for grade in reversed(Grade):
        for section in sections:
            if section.outcome.review is not None:
                yield from ((section.outcome, c) for c in section.outcome.review.changes if c.grade is grade)


def _fitting_rows(sections: Sequence[_Section], budget: _Budget) -> dict[_Key, str]:
    """The rows that fit. Where even those of stateful changes do not, they lose their reasons first."""
    budget.left -= sum(_size(_table_head(grade)) for _ in sections for grade in Grade)
    stateful = sum(_size(_row(c)) for _, c in _by_risk(sections) if c.grade is Grade.STATEFUL)
    short = stateful > budget.left
    rows: dict[_Key, str] = {}
    for outcome, change in _by_risk(sections):
        row = _row(change, told=not (short and change.grade is Grade.STATEFUL))
        if not budget.take(row):
            break
        rows[_key(outcome, change)] = row
    return rows


def _fitting_diffs(sections: Sequence[_Section], budget: _Budget) -> dict[_Key, str]:
    """The differences that fit, the most risky first; the last one may be cut at a line."""
    found: dict[_Key, str] = {}
    for outcome, change in _by_risk(sections):
        if not change.diff:
            continue
        block = _block(change, change.diff.splitlines())
        if not budget.take(block):
            cut = _cut_block(change, budget.left)
            if cut is not None and budget.take(cut):
                found[_key(outcome, change)] = cut
            break
        found[_key(outcome, change)] = block
    return found


def _cut_block(change: Change, room: int) -> str | None:
    lines = change.diff.splitlines()
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(_block(change, lines, middle)) <= room else (low, middle - 1)
    return _block(change, lines, low) if low else None


def _block(change: Change, lines: Sequence[str], shown: int | None = None) -> str:
    kept = lines if shown is None else lines[:shown]
    text = "\n".join(kept)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    rest = f"\n… {len(lines) - len(kept)} more lines\n" if len(kept) < len(lines) else ""
    title = html(_shortened(change.address, _LONGEST_ADDRESS))
    return (
        f"<details><summary>{change.action} <code>{title}</code></summary>\n\n"
        f"{fence}diff\n{text}\n{fence}\n{rest}\n</details>\n"
    )


def _head(outcome: Outcome) -> str:
    told = ", ".join(f"{name} {code(value)}" for name, value in outcome.facts.items())
    head = f"\n\n## Plan for {code(outcome.environment)}: {escape(outcome.summary)}\n"
    if outcome.error is not None and outcome.error.get("hint"):
        head += f"\nHint: {escape(str(outcome.error['hint']))}\n"
    return head + (f"\nOf {told}.\n" if told else "")


def _table_head(grade: Grade) -> str:
    return f"\n### {_HEADINGS[grade]}\n\n| | what | why |\n|---|---|---|\n"


def _row(change: Change, *, told: bool = True) -> str:
    reasons = escape(_shortened("; ".join(change.reasons), _LONGEST_REASON)) if told else ""
    return f"| {change.action} | {code(_shortened(change.address, _LONGEST_ADDRESS))} | {reasons} |\n"


def _shortened(text: str, longest: int) -> str:
    """``text`` without its middle, where it is too long."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[: half - 1]}…{text[-half:]}"


def _tables(outcome: Outcome, rows: dict[_Key, str]) -> Iterator[str]:
    for grade in reversed(Grade):
        changes = [c for c in outcome.review.changes if c.grade is grade] if outcome.review else []
        told = [rows[_key(outcome, change)] for change in changes if _key(outcome, change) in rows]
        if told:
            yield _table_head(grade)
            yield from told


def _details(outcome: Outcome, diffs: dict[_Key, str]) -> Iterator[str]:
    blocks = [
        diffs[_key(outcome, change)]
        for change in (outcome.review.changes if outcome.review else ())
        if _key(outcome, change) in diffs
    ]
    if blocks:
        yield "\n"
        yield from blocks


def _note(sections: Sequence[_Section], rows: dict[_Key, str], diffs: dict[_Key, str]) -> str:
    changes = list(_by_risk(sections))
    words = []
    for grade in reversed(Grade):
        count = sum(1 for o, change in changes if change.grade is grade and _key(o, change) not in rows)
        words.append(f"{count} {grade.word} changes" if count else "")
    hidden = sum(1 for o, change in changes if change.diff and _key(o, change) not in diffs)
    words.append(f"the differences of {hidden} changes" if hidden else "")
    left = ", ".join(word for word in words if word)
    return f"\nLeft out for length, the least risky first: {left}.\n" if left else ""


def _size(text: str) -> int:
    return len(text.encode())


def code(text: str) -> str:
    """``text`` as a code span that also holds in a table."""
    plain = text.replace("\n", " ").replace("\r", " ").replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", plain)), default=0))
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{space}{plain}{space}{fence}"


def escape(text: str) -> str:
    """``text`` as a line of Markdown that means nothing but itself, and calls nobody."""
    return html(_SPECIAL.sub(r"\\\1", text.replace("\n", " ").replace("\r", " "))).replace("@", "&#64;")


def html(text: str) -> str:
    """``text`` without HTML's meanings."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
