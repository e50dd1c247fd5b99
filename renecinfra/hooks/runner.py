"""Runs hooks: in the order of what they need, tried again with a growing pause, within a time, each verified.

A hook is only ``ok`` when its ``verify`` says so afterwards; a failed verification is tried again like a
failed run. Ctrl-C passes through.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Final, Literal

from renecinfra.errors import HookError, RenecError
from renecinfra.hooks.protocol import Check, ContextT, Hook, HookReport
from renecinfra.profiles.operations import HookSettings

FIRST_PAUSE: Final = 0.2
"""Seconds before the second attempt; doubled before each further one, up to ``LONGEST_PAUSE``."""
LONGEST_PAUSE: Final = 5.0


def run_hooks(
    hooks: Sequence[Hook[ContextT]], context: ContextT, settings_by_name: Mapping[str, HookSettings]
) -> list[HookReport]:
    """Run every hook and report on each, in the order in which they ran.

    A hook whose need failed, or was blocked itself, is ``blocked``. One that is ``disabled`` does not hold up
    those that need it. A hook without settings has the default ones.

    Raises:
        HookError: hooks need each other in a circle, need one that is not there, or share a name.
    """
    reports: dict[str, HookReport] = {}
    for hook in in_order(hooks):
        settings = settings_by_name.get(hook.name, HookSettings())
        broken = [need for need in hook.needs if reports[need].result in ("failed", "blocked")]
        if not settings.enabled:
            report = HookReport(hook.name, "disabled", 0.0, 0, "disabled by the profile")
        elif broken:
            report = HookReport(hook.name, "blocked", 0.0, 0, f"needs {', '.join(broken)}, which failed")
        else:
            report = _try(hook, context, settings)
        reports[hook.name] = report
    return list(reports.values())


def require(environment: str, reports: Sequence[HookReport]) -> None:
    """Stop where a hook failed, or could not run because another did.

    Raises:
        HookError: naming the first, with every check of any that is not right.
    """
    bad = [report for report in reports if report.result in ("failed", "blocked")]
    if not bad:
        return
    raise HookError(
        "hook-failed",
        f"{environment} was applied, but the hook {bad[0].name} failed: {bad[0].message}",
        details=tuple(
            f"{report.name}: {check.name}: {check.detail}"
            for report in bad
            for check in report.checks
            if not check.ok
        ),
        hint=f"run `renecinfra status {environment}`, mend the cause, then run `up` again",
    )


def in_order(hooks: Sequence[Hook[ContextT]]) -> list[Hook[ContextT]]:
    """Each hook after those that it needs, otherwise as given.

    Raises:
        HookError: see ``run_hooks``.
    """
    by_name = {hook.name: hook for hook in hooks}
    if len(by_name) != len(hooks):
        names = [hook.name for hook in hooks]
        twice = next(name for name in names if names.count(name) > 1)
        raise HookError("hook-duplicate", f"two hooks are named {twice}", hint="rename one of them")
    for hook in hooks:
        for need in hook.needs:
            if need not in by_name:
                raise HookError(
                    "hook-unknown",
                    f"hook {hook.name} needs {need}, which does not exist",
                    hint=f"there are: {', '.join(sorted(by_name))}",
                )
    sorter = TopologicalSorter({hook.name: hook.needs for hook in hooks})
    try:
        return [by_name[name] for name in sorter.static_order()]
    except CycleError as error:
        chain = " → ".join(reversed(error.args[1]))
        raise HookError(
            "hook-cycle", f"hooks need each other in a circle: {chain}", hint="remove one of the needs"
        ) from error


@dataclass(frozen=True, slots=True)
class _Outcome:
    message: str
    checks: tuple[Check, ...] = ()
    error: bool = False

    @property
    def ok(self) -> bool:
        return not self.error and all(check.ok for check in self.checks)

    def summary(self) -> str:
        """The hook's own line, or what is wrong."""
        if self.error or self.ok:
            return self.message
        wrong = [check for check in self.checks if not check.ok]
        return "; ".join(f"{check.name}: {check.detail}" if check.detail else check.name for check in wrong)


def _try(hook: Hook[ContextT], context: ContextT, settings: HookSettings) -> HookReport:
    started = time.monotonic()
    deadline = started + settings.timeout.total_seconds()
    pause = FIRST_PAUSE
    attempt = 0
    while True:
        attempt += 1
        outcome = _attempt(hook, context, deadline)
        if outcome is None:
            message = f"not done after {settings.timeout.total_seconds():g} s"
            return HookReport(hook.name, "failed", time.monotonic() - started, attempt, message)
        left = deadline - time.monotonic()
        if outcome.ok or attempt >= settings.attempts or left <= pause:
            result: Literal["ok", "failed"] = "ok" if outcome.ok else "failed"
            seconds = time.monotonic() - started
            return HookReport(hook.name, result, seconds, attempt, outcome.summary(), outcome.checks)
        context.note(f"{hook.name}: {outcome.summary()}; trying again")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _attempt(hook: Hook[ContextT], context: ContextT, deadline: float) -> _Outcome | None:
    """Run and verify once; None when time ran out.

    In a thread of its own, because a hook that hangs in a system call cannot be made to return. Such a thread
    is left behind; it is a daemon and does not keep the process alive. What a hook raises other than a
    RenecError is a bug, and raised here.
    """
    done: list[_Outcome] = []
    bugs: list[BaseException] = []
    thread = threading.Thread(
        target=_collect, args=(hook, context, done, bugs), name=f"hook-{hook.name}", daemon=True
    )
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if bugs:
        raise bugs[0]
    return done[0] if done else None


def _collect(
    hook: Hook[ContextT], context: ContextT, done: list[_Outcome], bugs: list[BaseException]
) -> None:
    try:
        message = hook.run(context)
        done.append(_Outcome(message, tuple(hook.verify(context))))
    except RenecError as error:
        text = " · ".join((error.message, *error.details))
        done.append(_Outcome(f"{text} (hint: {error.hint})" if error.hint else text, error=True))
    except BaseException as error:  # handed to the caller's thread
        bugs.append(error)


def poll(look: Callable[[], list[Check]], deadline: float, interval: float = 0.05) -> list[Check]:
    """Look until every check is right or ``deadline`` (of ``time.monotonic``) has passed; the last look."""
    while True:
        checks = look()
        if all(check.ok for check in checks) or time.monotonic() + interval > deadline:
            return checks
        time.sleep(interval)
