"""`up`: plan, confirm, apply, reload, hooks, verify. Each step is journaled; a crash at any resumes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from renecinfra import rendering
from renecinfra.errors import HookError
from renecinfra.hooks.protocol import Check, HookContext, HookReport
from renecinfra.platforms.local import rotation
from renecinfra.profiles.platform import OpenBaoSecrets
from renecinfra.provision import applied, retirement
from renecinfra.provision.approving import Approval
from renecinfra.provision.own_vault import with_secrets
from renecinfra.provision.planning import UpPlan, make_plan, versions_of
from renecinfra.provision.restore_points import point_before
from renecinfra.provision.session import Session
from renecinfra.provision.telling import tell
from renecinfra.secrets import openbao
from renecinfra.services import home

# The edge leaves an API alone for two seconds that did not answer while it was restarted.
_VERIFY_SECONDS: Final = 10.0
_VERIFY_PAUSE: Final = 0.5


@dataclass(frozen=True, slots=True)
class UpResult:
    """How an `up` went."""

    plan: UpPlan
    changed: bool
    hooks: tuple[HookReport, ...]
    checks: tuple[Check, ...]
    seconds: float

    def document(self) -> dict[str, Any]:
        """The result for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.plan.environment,
            "changed": self.changed,
            "seconds": round(self.seconds, 2),
            "plan": self.plan.document(),
            "hooks": [
                {"name": h.name, "result": h.result, "seconds": round(h.seconds, 2), "message": h.message}
                for h in self.hooks
            ],
            "checks": [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in self.checks],
        }


def up(session: Session, approval: Approval, argv: Sequence[str]) -> UpResult:
    """Bring the environment to its profile, and prove that it serves.

    Raises:
        DeclinedError: the plan was not approved; nothing has changed.
        HookError: it was applied, and a hook or the verification failed.
        RenecError: of whatever step failed; the next `up` goes on from there.
    """
    started = time.monotonic()
    approval.check_early(session)
    with session.locked("up", argv) as run:
        with run.step("plan"):
            plan = make_plan(session)
        resumed = retirement.is_due(session)
        confirmed = plan
        try:
            approval.check(session, plan)
            if not plan.empty:
                with run.step("apply"):
                    if plan.at_hand is None:
                        plan = with_secrets(session, plan, run)
                    point_before(session, plan)
                    _apply(session, plan)
        finally:
            plan.plan_file.unlink(missing_ok=True)
        with run.step("reload"):
            reload_services(session)
        with run.step("hooks"):
            hooks = _run_hooks(session, plan)
        with run.step("verify"):
            checks = verify(session, plan, services=not confirmed.empty)
        if resumed or not confirmed.empty:
            with run.step("retire"):
                retirement.finish(session, plan, resumed=resumed)
        if not confirmed.empty:
            with run.step("logins"):
                offer_logins(session)
        return UpResult(confirmed, not confirmed.empty, hooks, checks, time.monotonic() - started)


def _apply(session: Session, plan: UpPlan) -> None:
    reporter, environment = session.reporter, session.environment
    with reporter.step("Installing the configuration"):
        rendering.write(plan.bundle, session.paths.build)
        retirement.begin(session)
        # What runs accepts new passwords before anybody has them.
        rotation.prepare(session.profile, environment.host, plan.secrets)
        home.install(plan.bundle, environment.secret_files(plan.secrets), environment.host)
        applied.remember(session.paths, versions_of(plan.secrets), plan.bundle)
    if plan.terraform.pending:
        with reporter.progress("Applying", len(plan.terraform.pending)) as progress:
            session.terraform.apply(plan.plan_file, on_event=lambda event: tell(progress, event))


def offer_logins(session: Session) -> None:
    """Have the environment's own OpenBao know the database, so that it can make logins to it."""
    if not isinstance(session.profile.secrets, OpenBaoSecrets):
        return
    from renecinfra.platforms.local import logins

    with (
        session.reporter.step("Letting OpenBao make database logins"),
        openbao.client(session.profile, session.paths) as client,
    ):
        logins.ensure(session.profile, session.environment.host, client)


def reload_services(session: Session) -> None:
    """Tell services about installed files that they read without a restart; also an earlier run's."""
    for name in home.pending_reloads(session.environment.host):
        session.supervision.reload(name)


def _run_hooks(session: Session, plan: UpPlan) -> tuple[HookReport, ...]:
    from renecinfra.hooks.catalog import hooks_for
    from renecinfra.hooks.runner import require, run_hooks

    settings: Mapping[str, Any] = dict(session.profile.hooks)
    with session.reporter.progress("Running the hooks") as progress:
        context = HookContext(
            session.profile,
            session.environment.host,
            session.environment.sizing,
            plan.secrets,
            note=lambda text: progress.advance(0, text),
        )
        reports = tuple(run_hooks(hooks_for(session.profile), context, settings))
    require(session.name, reports)
    return reports


def verify(session: Session, plan: UpPlan, *, services: bool = True) -> tuple[Check, ...]:
    """Ask the environment as a client would, for some seconds if need be: until what was restarted is used.

    ``services`` is False where planning has found each service healthy and nothing was changed since.

    Raises:
        HookError: something is not right.
    """
    from renecinfra.platforms.local import verification

    with session.reporter.step("Verifying through the edge"):
        deadline = time.monotonic() + _VERIFY_SECONDS
        while True:
            look = verification.verify(
                session.environment, session.supervision, plan.secrets, services=services
            )
            checks = tuple(look)
            bad = [check for check in checks if not check.ok]
            if not bad or time.monotonic() > deadline:
                break
            time.sleep(_VERIFY_PAUSE)
    if bad:
        raise HookError(
            "verification-failed",
            f"{session.name} was applied, but {bad[0].name} is not right: {bad[0].detail}",
            details=tuple(f"{check.name}: {check.detail}" for check in bad[1:]),
            hint=f"run `renecinfra status {session.name}` and `renecinfra logs {session.name} SERVICE`",
        )
    return checks
