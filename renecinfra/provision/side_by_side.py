"""Several environments planned at a time, each by a process of its own, so that none can disturb another.

A process of its own has its own lock, journal, secrets to redact, and signals: one that is interrupted, or
fails, leaves the others alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from renecinfra.process import run
from renecinfra.review.outcome import Outcome
from renecinfra.workspace import Workspace


def plan_all(
    workspace: Workspace,
    names: Sequence[str],
    *,
    overrides: Sequence[str] = (),
    on_done: Callable[[Outcome], None] = lambda _outcome: None,
    workers: int | None = None,
) -> list[Outcome]:
    """Plan each environment; the outcomes in the order of ``names``. A failure is an outcome, too.

    ``on_done`` is told each as it comes, from a thread. ``workers`` are as many as there are cores.
    """
    count = workers or len(os.sched_getaffinity(0))

    def plan(name: str) -> Outcome:
        outcome = _plan(workspace, name, overrides)
        on_done(outcome)
        return outcome

    with ThreadPoolExecutor(min(count, max(1, len(names))), thread_name_prefix="plan") as pool:
        futures = [pool.submit(plan, name) for name in names]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _plan(workspace: Workspace, name: str, overrides: Sequence[str]) -> Outcome:
    settings = [word for override in overrides for word in ("--set", override)]
    argv = [sys.executable, "-m", "renecinfra", "plan", name, "--json", "--quiet", *settings]
    environ = os.environ | {"RENECINFRA_WORKSPACE": str(workspace.root)}
    done = run(argv, env=environ, cwd=workspace.root, check=False)
    try:
        document = json.loads(done.stdout)
    except ValueError:
        tail = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        message = f"planning ended with exit code {done.returncode}: {tail}"
        return Outcome(name, error={"id": "plan-failed", "message": message, "hint": None})
    return Outcome.from_document(name, document)
