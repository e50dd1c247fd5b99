"""`up` in AWS: bootstrap, plan, confirm, apply, releases, hooks. Each step is journaled and repeatable."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from renecinfra.hooks.protocol import AwsHookContext, HookReport
from renecinfra.platforms.aws import preflight
from renecinfra.platforms.aws.administrator import Administrator
from renecinfra.platforms.aws.faults import told
from renecinfra.platforms.aws.kubeconfig import kubeconfig
from renecinfra.platforms.aws.recovery import Instances
from renecinfra.platforms.releases import ReleaseContext, Releases, releases_for
from renecinfra.provision.aws import bootstrapping, restore_progress
from renecinfra.provision.aws.applying import apply
from renecinfra.provision.aws.bootstrapping import BootstrapPlan
from renecinfra.provision.aws.planning import AwsPlan, make_plan
from renecinfra.provision.aws.restoring import progress_of
from renecinfra.provision.aws.session import AwsSession
from renecinfra.secrets.store import ResolvedSecrets


@dataclass(frozen=True, slots=True)
class AwsUpResult:
    """How an `up` went."""

    plan: AwsPlan
    bootstrapped: int
    hooks: tuple[HookReport, ...]
    outputs: Mapping[str, Any]
    seconds: float

    def document(self) -> dict[str, Any]:
        """The result for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.plan.environment,
            "changed": not self.plan.empty or self.bootstrapped > 0,
            "seconds": round(self.seconds, 2),
            "bootstrapped": self.bootstrapped,
            "plan": self.plan.document(),
            "hooks": [
                {"name": h.name, "result": h.result, "seconds": round(h.seconds, 2), "message": h.message}
                for h in self.hooks
            ],
        }


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked before something is made; each raises where it must not be, or the answer is no.

    ``plan`` is told an empty plan, too.
    """

    bootstrap: Callable[[BootstrapPlan], None]
    plan: Callable[[AwsPlan], None]


def up(
    session: AwsSession, questions: Questions, argv: Sequence[str], releases: Releases | None = None
) -> AwsUpResult:
    """Bring the environment to its profile.

    ``releases`` deploys to the cluster; Helm, if None.

    Raises:
        DeclinedError: a confirmation was refused.
        RestoreError: a restore was cut off while instances change their names.
        ClusterError: the infrastructure is up, and the releases are not.
        HookError: it was applied, and a hook found something that is not right.
        RenecError: of whatever step failed; the next `up` goes on from there.
    """
    started = time.monotonic()
    with session.locked("up", argv) as run:
        with run.step("bootstrap"):
            made = _bootstrap(session, questions.bootstrap)
        with run.step("secrets"), session.reporter.step("Reading the secrets"):
            secrets = session.secrets()
        password = secrets[session.profile.cache.password].value
        restore_progress.refuse_between(progress_of(Instances(session.profile, session.aws)), session.name)
        with run.step("plan"):
            plan = make_plan(session, applying=True, password=password)
        try:
            questions.plan(plan)
            if plan.terraform.pending:
                with run.step("prepare"):
                    _service_role(session)
                session.state.stamp()
                with run.step("apply"):
                    apply(session, plan.terraform, plan.plan_file, password)
        finally:
            plan.plan_file.unlink(missing_ok=True)
        with run.step("outputs"), session.reporter.step("Reading the outputs"):
            outputs = session.terraform(password).outputs()
        with run.step("releases"):
            _deploy(session, outputs, secrets, releases or releases_for(session.workspace))
        with run.step("hooks"):
            hooks = _run_hooks(session, outputs)
        return AwsUpResult(plan, made, hooks, outputs, time.monotonic() - started)


def _bootstrap(session: AwsSession, confirm: Callable[[BootstrapPlan], None]) -> int:
    looked = bootstrapping.look(session)
    if looked.pending:
        confirm(looked)
        bootstrapping.make(session, looked)
    session.state.require_version()
    return len(looked.pending)


def _service_role(session: AwsSession) -> None:
    """A role of AWS's own that a key's policy names has to be there before the key."""
    if preflight.service_role_exists(session.aws):
        return
    with (
        session.reporter.step(f"Making {preflight.AUTOSCALING_ROLE}"),
        told(f"making {preflight.AUTOSCALING_ROLE}"),
    ):
        session.aws.client("iam").create_service_linked_role(AWSServiceName=preflight.AUTOSCALING)


def _deploy(
    session: AwsSession, outputs: Mapping[str, Any], secrets: ResolvedSecrets, releases: Releases
) -> None:
    with kubeconfig(session.name, outputs["cluster"], session.workspace.root, session.overrides) as path:
        administrator = Administrator(session.aws, outputs["database"]["identifier"])
        releases.apply(
            ReleaseContext(session.profile, outputs, secrets, path, session.reporter, administrator)
        )


def _run_hooks(session: AwsSession, outputs: Mapping[str, Any]) -> tuple[HookReport, ...]:
    from renecinfra.hooks.catalog import aws_hooks
    from renecinfra.hooks.runner import require, run_hooks

    settings: Mapping[str, Any] = dict(session.profile.hooks)
    with session.reporter.progress("Running the hooks") as progress:
        context = AwsHookContext(
            session.profile, session.aws, outputs, note=lambda text: progress.advance(0, text)
        )
        reports = tuple(run_hooks(aws_hooks(), context, settings))
    require(session.name, reports)
    return reports
