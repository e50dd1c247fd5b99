"""Saved plans: an equal one is accepted, every kind of stale, foreign or altered one is refused."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from renecinfra.errors import ToolError
from renecinfra.review import saved
from renecinfra.review.change import Change, review
from renecinfra.review.grades import Grade
from renecinfra.review.saved import Planned
from renecinfra.review.signing import plan_key
from renecinfra.sensitive import Secret

KEY = Secret("k" * 64)
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CHANGES = (
    Change("terraform", "a.b", "update", Grade.CAUTION, ("restarts",), ("size",), "- size = 1\n+ size = 2"),
    Change("file", "edge/nginx.conf", "update", Grade.CAUTION, ("edge",), diff="-a\n+b"),
    Change("secret", "generated:api_key", "update", Grade.CAUTION, ("version 1 -> 2: taken over",)),
    Change("hook", "monitoring", "run", Grade.SAFE, ("loads rules",)),
)
PLANNED = Planned(
    "prod",
    "aws",
    "a" * 64,
    "c" * 40,
    {"renecinfra": "0.1.0", "terraform": "1.11.4"},
    "d" * 64,
    review("prod", CHANGES),
)


def with_changes(*changes: Change) -> Planned:
    return replace(PLANNED, review=review("prod", changes))


def compare(fresh: Planned, *, now: datetime = NOW, old: Planned = PLANNED) -> None:
    document = json.loads(saved.sign(old, KEY, now=NOW))
    document.pop("signature")
    saved.require_equal(document, fresh, now=now)


def test_an_equal_plan_is_accepted_whatever_the_commit() -> None:
    compare(PLANNED)
    compare(replace(PLANNED, commit="e" * 40), now=NOW + timedelta(days=6))
    nothing = replace(PLANNED, review=review("prod", ()), versions={"renecinfra": "0.1.0"})
    compare(nothing, old=nothing)


RESIZED = replace(CHANGES[0], diff="- size = 1\n+ size = 3")


@pytest.mark.parametrize(
    ("fresh", "now", "identifier", "words"),
    [
        (replace(PLANNED, environment="staging"), NOW, "plan-environment", "of prod and not of staging"),
        (replace(PLANNED, platform="local"), NOW, "plan-environment", "on aws"),
        (replace(PLANNED, versions={"renecinfra": "0.2.0"}), NOW, "plan-version", "renecinfra 0.1.0"),
        (
            replace(PLANNED, versions={"renecinfra": "0.1.0", "terraform": "1.12.0"}),
            NOW,
            "plan-version",
            "terraform 1.11.4",
        ),
        (replace(PLANNED, profile="b" * 64), NOW, "plan-profile", "another than the plan was made from"),
        (PLANNED, NOW + timedelta(days=8), "plan-expired", "for 7 days"),
        (PLANNED, NOW - timedelta(hours=1), "plan-expired", "in the future"),
        (with_changes(*CHANGES[1:]), NOW, "plan-stale", "no longer: update a.b (caution)"),
        (
            with_changes(*CHANGES, replace(CHANGES[0], address="a.c", grade=Grade.STATEFUL)),
            NOW,
            "plan-stale",
            "new: update a.c (stateful)",
        ),
        (with_changes(RESIZED, *CHANGES[1:]), NOW, "plan-stale", "otherwise: update a.b"),
        (
            with_changes(replace(CHANGES[0], action="replace"), *CHANGES[1:]),
            NOW,
            "plan-stale",
            "otherwise: replace a.b",
        ),
        (
            with_changes(CHANGES[0], replace(CHANGES[1], diff="-a\n+c"), *CHANGES[2:]),
            NOW,
            "plan-stale",
            "otherwise: update edge/nginx.conf",
        ),
        (
            with_changes(
                *CHANGES[:2], replace(CHANGES[2], reasons=("version 1 -> 3: taken over",)), CHANGES[3]
            ),
            NOW,
            "plan-stale",
            "otherwise: update generated:api_key",
        ),
        (with_changes(*CHANGES[:3]), NOW, "plan-stale", "no longer: run monitoring"),
        (with_changes(), NOW, "plan-stale", "nothing of the plan is left to do"),
        (replace(PLANNED, terraform="e" * 64), NOW, "plan-stale", "values that are not shown"),
    ],
)
def test_every_kind_of_stale_or_foreign_plan_is_refused(
    fresh: Planned, now: datetime, identifier: str, words: str
) -> None:
    with pytest.raises(ToolError) as refused:
        compare(fresh, now=now)
    error = refused.value
    assert error.id == identifier
    assert words in "\n".join([error.message, *error.details])
    assert error.hint


def altered(text: str, **values: Any) -> str:
    return json.dumps(json.loads(text) | values)


TEXT = saved.sign(PLANNED, KEY, now=NOW)


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        (None, "plan-file-unreadable"),
        ("", "plan-file-invalid"),
        (TEXT[: len(TEXT) // 2], "plan-file-invalid"),
        ("[]", "plan-file-invalid"),
        ("{}", "plan-file-invalid"),
        (altered(TEXT, format=2), "plan-file-format"),
        (altered(TEXT, changes=[]), "plan-signature"),
        (altered(TEXT, created="2026-12-24T00:00:00+00:00"), "plan-signature"),
        (altered(TEXT, signature="0" * 64), "plan-signature"),
        (altered(TEXT, signature=None), "plan-signature"),
        (altered(TEXT, signature="\u00e9"), "plan-signature"),
        (saved.sign(PLANNED, Secret("x" * 64), now=NOW), "plan-signature"),
    ],
)
def test_a_file_that_is_no_saved_plan_of_ours_is_refused(
    text: str | None, identifier: str, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ToolError) as refused:
        saved.read(path, KEY)
    assert refused.value.id == identifier


def test_what_is_saved_reads_back_and_has_neither_values_nor_the_key(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(TEXT, encoding="utf-8")
    document = saved.read(path, KEY)
    saved.require_equal(document, PLANNED, now=NOW)
    assert "size = 2" not in TEXT and KEY.reveal() not in TEXT


def test_the_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as refused:
        plan_key(tmp_path, {}, create=False)
    assert refused.value.id == "plan-key-missing"
    key = plan_key(tmp_path, {}, create=True)
    path = tmp_path / ".renecinfra" / "plan-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert plan_key(tmp_path, {}, create=True).reveal() == key.reveal() == path.read_text()
    given = plan_key(tmp_path, {"RENECINFRA_PLAN_KEY": "y" * 40}, create=False)
    assert given.reveal() == "y" * 40


def test_a_weak_or_exposed_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as weak:
        plan_key(tmp_path, {"RENECINFRA_PLAN_KEY": "short"}, create=False)
    assert weak.value.id == "plan-key-weak"
    plan_key(tmp_path, {}, create=True)
    (tmp_path / ".renecinfra" / "plan-key").chmod(0o640)
    with pytest.raises(ToolError) as exposed:
        plan_key(tmp_path, {}, create=True)
    assert exposed.value.id == "plan-key-exposed"
