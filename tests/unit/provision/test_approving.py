"""What a plan has to pass, in its order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from renecinfra.errors import DeclinedError, RenecError
from renecinfra.profiles.loading import load
from renecinfra.provision.approving import Approval, planned, require_policy, save
from renecinfra.rendering import RenderedFile
from renecinfra.review.change import Change, review
from renecinfra.review.grades import Grade
from renecinfra.terraform.plan import Plan
from renecinfra.workspace import Workspace

CHANGES = [Change("file", "a", "update", Grade.CAUTION, ("why",))]


@pytest.fixture
def session(tmp_path: Path) -> Any:
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "case.yaml").write_text(
        "environment: case\nplatform: {kind: local}\nbackups: {retention: 30d}\n"
        "monitoring:\n  receivers:\n    hook: {kind: webhook, url: 'https://example.org/a'}\n"
        "protection: {protected: true}\nworkloads: {worker: {replicas: 2}}\n"
        "harvest: {base_url: 'https://example.org', download_delay: 2s}\n"
    )
    loaded = load(tmp_path, "case")
    return SimpleNamespace(workspace=Workspace(tmp_path), loaded=loaded, profile=loaded.profile, name="case")


def made(*changes: Change, bundle: Any = None) -> Any:
    return SimpleNamespace(
        environment="case",
        empty=not changes,
        review=review("case", changes),
        digest="d" * 64,
        policed=(bundle or {}, Plan((), (), {}, "1.11.4")),
        provenance={"commit": None, "versions": {"renecinfra": "0.1.0"}},
    )


def never(_: Any) -> None:
    raise AssertionError("asked")


def test_the_question_comes_last_and_only_where_there_is_something(session: Any) -> None:
    asked: list[Any] = []
    approval = Approval(asked.append)
    approval.check(session, made(*CHANGES))
    assert len(asked) == 1
    Approval(never).check(session, made())
    lost = Change("terraform", "a.b", "delete", Grade.STATEFUL, ("loses a database",))
    with pytest.raises(DeclinedError) as refused:
        Approval(never).check(session, made(lost))
    assert refused.value.id == "stateful-refused"
    with pytest.raises(RenecError) as unknown:
        Approval(never, allowed=["a.b"]).check(session, made(lost))
    assert unknown.value.id == "backup-unknown"


def test_yes_is_refused_before_anything_is_planned(session: Any) -> None:
    with pytest.raises(DeclinedError) as refused:
        Approval(never, yes=True).check_early(session)
    assert refused.value.id == "environment-protected"


def test_a_saved_plan_answers_where_it_is_equal(session: Any, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    save(session, made(*CHANGES), path)
    approval = Approval(never, plan=path, yes=True)
    approval.check_early(session)
    approval.check(session, made(*CHANGES))
    with pytest.raises(RenecError) as stale:
        approval.check(session, made())
    assert stale.value.id == "plan-stale"
    assert planned(session, made()).environment == "case"


def test_policy_denies_for_a_protected_environment(session: Any) -> None:
    old = {"edge/nginx.conf": RenderedFile("ssl_protocols TLSv1;\n")}
    with pytest.raises(DeclinedError) as refused:
        require_policy(session, made(*CHANGES, bundle=old))
    assert refused.value.id == "policy-denied"
    assert str(refused.value.location) == "edge/nginx.conf:1:1"
    require_policy(session, made(*CHANGES))
