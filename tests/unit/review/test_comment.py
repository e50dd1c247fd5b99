"""The comment on a pull request: its limit, its form, what is never cut, and what is never shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from renecinfra.redaction import Redactor
from renecinfra.review import comment as commenting
from renecinfra.review import grading
from renecinfra.review.change import Change, review
from renecinfra.review.comment import LIMIT, MARKER, code, comment, escape
from renecinfra.review.grades import Grade, load_grades
from renecinfra.review.outcome import Outcome, exit_code
from renecinfra.sensitive import Secret
from renecinfra.terraform.plan import parse_plan
from tests.unit.review import cases

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "plan"
FACTS = {"profile": "0123456789ab", "commit": "fedcba987654", "renecinfra": "0.1.0", "terraform": "1.11.4"}


def change(address: str, grade: Grade, diff: str = "", reason: str = "because") -> Change:
    return Change("terraform", address, "update", grade, (reason,), diff=diff)


def of(*changes: Change, environment: str = "prod") -> Outcome:
    return Outcome(environment, review(environment, changes), FACTS)


def large(stateful: int = 12, resources: int = 300, lines: int = 20_000) -> Outcome:
    """Many changed lines, of which those of each resource can be told."""
    each = lines // resources
    grades = [Grade.STATEFUL if n < stateful else Grade(n % 2) for n in range(resources)]
    return of(
        *(
            change(
                f'module.part["{n:03}"].example_thing.this',
                grade,
                "\n".join(f"+ line {i} of {n} with some more text of a usual length" for i in range(each)),
            )
            for n, grade in enumerate(grades)
        )
    )


def fences_are_closed(text: str) -> bool:
    """Every fence that opens is closed by one that is as long, as CommonMark has it."""
    open_fence = ""
    for line in text.splitlines():
        match = re.match(r"(`{3,})(.*)$", line)
        if not match:
            continue
        if not open_fence:
            open_fence = match[1]
        elif len(match[1]) >= len(open_fence) and not match[2].strip():
            open_fence = ""
    return not open_fence and text.count("<details>") == text.count("</details>")


def test_three_hundred_resources_stay_under_the_limit_and_name_every_stateful_one() -> None:
    outcome = large()
    text = comment([outcome], "renecinfra plan prod")

    assert len(text) <= LIMIT and len(text.encode()) <= LIMIT
    assert len(text.encode()) > LIMIT * 0.9, "the room that there is is used"
    assert fences_are_closed(text)
    assert outcome.review is not None
    for one in outcome.review.stateful:
        assert f"| update | `{one.address}` | because |" in text
        assert f"<details><summary>update <code>{one.address}</code></summary>" in text
    assert "Left out for length, the least risky first: the differences of" in text
    assert text.count(MARKER) == 1 and text.startswith(MARKER)


def test_the_least_risky_is_cut_first() -> None:
    text = comment([large()], "renecinfra plan prod")
    shown = re.findall(r'<details><summary>update <code>module.part\["(\d+)"\]', text)
    cautions = [n for n in range(12, 300) if n % 2]
    assert [int(n) for n in shown] == [*range(12), *cautions[: len(shown) - 12]]


@pytest.mark.parametrize("limit", [1_500, 2_000, 3_000, 5_000, 10_000, 30_000])
def test_any_limit_is_kept(limit: int) -> None:
    text = comment([large(stateful=3)], "renecinfra plan prod", limit=limit)
    assert len(text.encode()) <= limit
    assert fences_are_closed(text)
    for n in range(3):
        assert f'module.part["{n:03}"]' in text


def test_stateful_changes_lose_their_reasons_before_their_names() -> None:
    outcome = of(*(change(f"a.b{n}", Grade.STATEFUL, reason="x" * 150) for n in range(40)))
    text = comment([outcome], "renecinfra plan prod", limit=3_000)
    assert len(text.encode()) <= 3_000
    assert all(f"`a.b{n}`" in text for n in range(40))


def test_more_stateful_changes_than_fit_are_counted() -> None:
    outcome = of(*(change(f"a.b{n:05}", Grade.STATEFUL) for n in range(5_000)))
    text = comment([outcome], "renecinfra plan prod")
    assert len(text.encode()) <= LIMIT
    named = text.count("| update | `a.b")
    assert f"{5_000 - named} stateful changes" in text


def test_no_room_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no room"):
        comment([of(change("a.b", Grade.SAFE))], "renecinfra plan prod", limit=100)


def test_a_difference_with_fences_of_its_own_stays_inside_its_fence() -> None:
    diff = "+ ```sh\n+ rm\n```\n+ </details>\n````"
    text = comment([of(change("a.b", Grade.SAFE, diff))], "renecinfra plan prod")
    assert f"`````diff\n{diff}\n`````" in text


def test_secrets_never_show_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor()
    secret = "s3cr|et`value`<x>"
    redactor.register(Secret(secret))
    monkeypatch.setattr(commenting, "redactor", redactor)
    everywhere = Change(
        "file", f"a/{secret}", "update", Grade.CAUTION, (f"why {secret}",), diff=f"+ {secret}"
    )
    text = comment([of(everywhere, change("a.b", Grade.STATEFUL))], "renecinfra plan prod")
    for form in (secret, escape(secret), code(secret)[1:-1], "s3cr"):
        assert form not in text
    assert text.count("REDACTED") == 4  # row, reason, summary, difference


def test_nobody_is_called_and_nothing_breaks_the_table() -> None:
    odd = change("a['x|y`z']\nq", Grade.SAFE, reason="@everyone | <b> *bold* [x](y)\nnext")
    text = comment([of(odd)], "renecinfra plan prod")
    (row,) = [line for line in text.splitlines() if line.startswith("| update")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    assert "@everyone" not in text and "<b>" not in text


def test_several_environments_share_one_comment() -> None:
    failed = {"message": "the profile is wrong | @x", "hint": "mend it", "id": "profile-invalid"}
    outcomes = [
        of(change("a.b", Grade.STATEFUL, "- a\n+ b")),
        Outcome("staging", review("staging", ()), FACTS, empty=True),
        Outcome("onprem", error=failed),
    ]
    text = comment(outcomes, "renecinfra plan --all")
    assert text.count(MARKER) == 1
    assert "## Plan for `staging`: nothing to change" in text
    assert "## Plan for `onprem`: failed: the profile is wrong \\| &#64;x" in text
    assert "Hint: mend it" in text
    assert exit_code(outcomes) == 1
    assert exit_code(outcomes[:2]) == 2
    assert exit_code(outcomes[1:2]) == 0


def catalogue() -> Outcome:
    grades = load_grades(ROOT / "templates")
    changes = []
    for number, case in enumerate(cases.CASES):
        document: dict[str, Any] = cases.document(case)
        resource = document["resource_changes"][0]
        resource["address"] = (
            f"{resource['address']}.case{number}" if "terraform_data" not in case[1] else case[1]
        )
        changes += grading.terraform_changes(parse_plan(document), grades)
    return of(*changes)


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("catalogue", [catalogue()]),
        ("nothing", [Outcome("prod", review("prod", ()), FACTS, empty=True)]),
        ("cut", [large(stateful=2, resources=9, lines=90)]),
    ],
)
def test_golden(name: str, outcomes: list[Outcome], request: pytest.FixtureRequest) -> None:
    """To renew them: RENECINFRA_GOLDEN=write; and read what differs."""
    import os

    text = comment(outcomes, "renecinfra plan prod", limit=3_200 if name == "cut" else LIMIT)
    path = GOLDEN / f"{name}.md"
    if os.environ.get("RENECINFRA_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    assert fences_are_closed(text)
