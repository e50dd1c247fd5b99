"""The hook runner: order, attempts, time, verification, interruption."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from renecinfra.errors import ExitCode, HookError
from renecinfra.hooks import runner
from renecinfra.hooks.catalog import aws_hooks, hooks_for
from renecinfra.hooks.protocol import Check, HookContext
from renecinfra.hooks.runner import in_order, poll, run_hooks
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.operations import HookSettings
from renecinfra.profiles.sizing import Sizing
from renecinfra.workspace import EnvironmentPaths, ServiceUser

LOCAL = {"environment": "local", "platform": {"kind": "local"}}
PROFILE = Profile.model_validate(LOCAL)


def settings(attempts: int = 1, timeout: str = "10s", enabled: bool = True) -> HookSettings:
    return HookSettings.model_validate({"attempts": attempts, "timeout": timeout, "enabled": enabled})


@dataclass
class Fake:
    """A hook that does as told and writes down what was called."""

    name: str
    needs: tuple[str, ...] = ()
    on_run: Callable[[int], str] = lambda _n: "done"
    on_verify: Callable[[int], list[Check]] = lambda _n: [Check("there", True)]
    calls: list[str] = field(default_factory=list)

    def run(self, context: HookContext) -> str:
        self.calls.append("run")
        return self.on_run(self.calls.count("run"))

    def verify(self, context: HookContext) -> list[Check]:
        self.calls.append("verify")
        return self.on_verify(self.calls.count("verify"))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "FIRST_PAUSE", 0.001)


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def context(tmp_path: Path, notes: list[str]) -> HookContext:
    paths = EnvironmentPaths("local", tmp_path / "state", tmp_path / "home")
    host = Host(paths, ServiceUser("me", 1, 1, switched=False), "python3", {}, 2, 1 << 30, tmp_path)
    return HookContext(PROFILE, host, Sizing(2, 1, 10, 1, 2, 20, 40, 100), {}, notes.append)


def refuse(_n: int) -> str:
    raise HookError("nope", "it cannot be", hint="leave it", details=("line",))


def test_a_hook_runs_and_is_then_verified(context: HookContext) -> None:
    hook = Fake("one")
    [report] = run_hooks([hook], context, {"one": settings()})
    assert hook.calls == ["run", "verify"]
    assert (report.name, report.result, report.attempts, report.message) == ("one", "ok", 1, "done")
    assert report.checks == (Check("there", True),)
    assert 0 < report.seconds < 1


def test_needs_come_first_and_otherwise_the_given_order_stays() -> None:
    hooks = [Fake("c", ("b",)), Fake("a"), Fake("b")]
    names = [hook.name for hook in in_order(hooks)]
    assert names.index("b") < names.index("c")
    assert sorted(names) == ["a", "b", "c"]
    assert [hook.name for hook in in_order([Fake("x"), Fake("y"), Fake("z")])] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("hooks", "error"),
    [
        ([Fake("a", ("b",)), Fake("b", ("a",))], "hook-cycle"),
        ([Fake("a", ("a",))], "hook-cycle"),
        ([Fake("a", ("ghost",))], "hook-unknown"),
        ([Fake("a"), Fake("a")], "hook-duplicate"),
    ],
)
def test_what_cannot_be_ordered_is_refused(hooks: list[Fake], error: str, context: HookContext) -> None:
    with pytest.raises(HookError) as caught:
        run_hooks(hooks, context, {})
    assert caught.value.id == error
    assert caught.value.exit_code is ExitCode.HOOK
    assert all(hook.calls == [] for hook in hooks)


def test_a_cycle_names_its_chain() -> None:
    with pytest.raises(HookError, match=r"a → b → a|b → a → b"):
        in_order([Fake("a", ("b",)), Fake("b", ("a",))])


def test_a_failed_need_blocks_and_what_needs_that_as_well(context: HookContext) -> None:
    hooks = [Fake("a", on_run=refuse), Fake("b", ("a",)), Fake("c", ("b",)), Fake("d")]
    reports = {r.name: r for r in run_hooks(hooks, context, {n: settings() for n in "abcd"})}
    assert {n: r.result for n, r in reports.items()} == {
        "a": "failed",
        "b": "blocked",
        "c": "blocked",
        "d": "ok",
    }
    assert reports["b"].message == "needs a, which failed"
    assert "it cannot be" in reports["a"].message
    assert "leave it" in reports["a"].message
    assert hooks[1].calls == []


def test_a_disabled_hook_does_not_run_and_does_not_block(context: HookContext) -> None:
    hooks = [Fake("a"), Fake("b", ("a",))]
    first, second = run_hooks(hooks, context, {"a": settings(enabled=False), "b": settings()})
    assert (first.result, first.attempts, second.result) == ("disabled", 0, "ok")
    assert hooks[0].calls == []


def test_it_is_tried_as_often_as_the_profile_says(context: HookContext, notes: list[str]) -> None:
    hook = Fake("a", on_run=lambda n: "third" if n == 3 else refuse(n))
    [report] = run_hooks([hook], context, {"a": settings(attempts=3)})
    assert (report.result, report.attempts, report.message) == ("ok", 3, "third")
    assert len(notes) == 2
    [report] = run_hooks([Fake("a", on_run=refuse)], context, {"a": settings(attempts=2)})
    assert (report.result, report.attempts) == ("failed", 2)


def test_a_failed_verification_is_tried_again_and_reported(context: HookContext) -> None:
    hook = Fake("a", on_verify=lambda n: [Check("there", n == 2, "away")])
    [report] = run_hooks([hook], context, {"a": settings(attempts=2)})
    assert (report.result, hook.calls) == ("ok", ["run", "verify", "run", "verify"])
    never = Fake("a", on_verify=lambda _n: [Check("there", False, "away"), Check("fine", True)])
    [report] = run_hooks([never], context, {"a": settings(attempts=2)})
    assert (report.result, report.message) == ("failed", "there: away")
    assert report.checks[1] == Check("fine", True)


def test_a_hook_that_hangs_fails_in_time(context: HookContext) -> None:
    begun = time.monotonic()
    hook = Fake("a", on_run=lambda _n: time.sleep(5) or "late")
    [report] = run_hooks([hook], context, {"a": settings(attempts=3, timeout="1s")})
    assert time.monotonic() - begun < 2
    assert (report.result, report.message) == ("failed", "not done after 1 s")


def test_attempts_end_with_the_time(context: HookContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "FIRST_PAUSE", 0.3)
    hook = Fake("a", on_run=refuse)
    [report] = run_hooks([hook], context, {"a": settings(attempts=20, timeout="1s")})
    assert report.result == "failed"
    assert report.attempts < 4


def test_bugs_and_interrupts_pass_through(context: HookContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(_n: int) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_hooks([Fake("a", on_run=bug)], context, {"a": settings(attempts=3)})

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_hooks([Fake("a", on_run=refuse)], context, {"a": settings(attempts=3)})


def test_poll_stops_at_the_first_good_look_and_at_the_deadline() -> None:
    looks = iter([[Check("a", False)], [Check("a", True)], [Check("never", False)]])
    assert poll(lambda: next(looks), time.monotonic() + 5, 0.001) == [Check("a", True)]
    assert poll(lambda: [Check("b", False)], time.monotonic() - 1) == [Check("b", False)]


def test_the_catalog_and_the_profile_name_the_same_hooks() -> None:
    names = {hook.name for hook in hooks_for(PROFILE)} | {hook.name for hook in aws_hooks()}
    assert names == set(dict(PROFILE.hooks))


def test_other_platforms_have_no_hooks_yet() -> None:
    values = {"kind": "kubernetes", "context": "c", "storage_class": "s"}
    with pytest.raises(HookError) as caught:
        hooks_for(Profile.model_validate({"environment": "onprem", "platform": values}))
    assert caught.value.id == "hooks-unsupported"
