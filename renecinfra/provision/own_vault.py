"""The part of `up` that has to come first where an environment has an OpenBao of its own.

Its secrets can be had only when it runs, and what the rest is depends on them. So it is started by itself,
as the plan said, and set up; then the rest is planned again, and is applied only if the plan that was
confirmed holds all of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from renecinfra.errors import ToolError
from renecinfra.journal import Run
from renecinfra.platforms.local import new_cluster, openbao
from renecinfra.provision.planning import SUPERVISOR, UpPlan, plan_bundle, versions_of
from renecinfra.provision.session import Session
from renecinfra.provision.telling import tell
from renecinfra.services import home

_FIRST = (openbao.NAME, new_cluster.NAME)
_ENVIRONMENT_FILES = ("services/supervisord.conf", "services/environment.json")


def with_secrets(session: Session, confirmed: UpPlan, run: Run) -> UpPlan:
    """Start and set up OpenBao; then the plan for the rest, with secrets. May be interrupted and repeated.

    Raises:
        SecretsError: OpenBao cannot be set up, or a secret cannot be had.
        ToolError: what is left to do is not what was confirmed.
        TerraformError: OpenBao does not start.
    """
    from renecinfra.secrets.bootstrap import bootstrap

    pending = {change.address for change in confirmed.terraform.pending}
    first = [name for name in _FIRST if session.environment.address(name) in pending]
    if openbao.NAME in first:
        with run.step("start openbao"):
            _start(session, confirmed, first)
    confirmed.plan_file.unlink(missing_ok=True)
    with run.step("set up openbao"), session.reporter.step("Setting up OpenBao"):
        bootstrap(session.profile, session.paths, start_empty=lambda: _start_empty(session))
        secrets = session.secrets()
        bundle = session.environment.bundle(versions_of(secrets))
    rest = plan_bundle(session, bundle, secrets)
    _require_confirmed(confirmed, rest)
    return rest


def _start(session: Session, confirmed: UpPlan, names: Sequence[str]) -> None:
    """OpenBao, what needs no secrets, and the supervisor. Others' files stay: they may be running on them."""
    environment = session.environment
    own = tuple(f"services/{name}/" for name in names)
    files = {
        path: file
        for path, file in confirmed.bundle.items()
        if path.startswith(own) or path in _ENVIRONMENT_FILES
    }
    keys = openbao.secret_files(session.profile, environment.host, {})
    home.install(files, keys, environment.host, prune=False)
    plan_file = session.paths.state / "openbao.tfplan"
    addresses = {name: environment.address(name) for name in names}
    dead = {SUPERVISOR: "terraform_data.supervisor", **addresses}
    replace = tuple(there for name, there in dead.items() if name in confirmed.dead)
    try:
        with session.reporter.progress("Starting OpenBao", 2) as progress:
            session.terraform.plan(plan_file, targets=tuple(addresses.values()), replace=replace)
            session.terraform.apply(plan_file, on_event=lambda event: tell(progress, event))
    finally:
        plan_file.unlink(missing_ok=True)


def _start_empty(session: Session) -> None:
    """Delete what OpenBao has, where nobody can open it and nothing was stored in it, and start it again."""
    session.supervision.stop(openbao.NAME)
    shutil.rmtree(session.paths.data / openbao.NAME)
    session.supervision.restart(openbao.NAME)


def _require_confirmed(confirmed: UpPlan, rest: UpPlan) -> None:
    """What is left must be part of what was confirmed.

    Raises:
        ToolError: it is not, because a secret has another version than was assumed, or a service died.
    """
    agreed = {(change.address, change.action) for change in confirmed.terraform.pending}
    more = [change for change in rest.terraform.pending if (change.address, change.action) not in agreed]
    if more:
        raise ToolError(
            "plan-changed",
            f"with OpenBao running, more has to be done to {confirmed.environment} than was confirmed",
            hint=f"run `renecinfra up {confirmed.environment}` again: it plans with the secrets as they are",
            details=tuple(f"{change.action} {change.address}" for change in more),
        )
