"""What a plan has to pass before `up` applies it: a saved plan, permissions, a backup, a question."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from renecinfra.errors import DeclinedError, RestoreError, ToolError
from renecinfra.profiles.loading import LoadedProfile
from renecinfra.profiles.model import Profile
from renecinfra.provision.session import Session
from renecinfra.rendering import Bundle, write_atomically
from renecinfra.review import guards, saved
from renecinfra.review.change import Review
from renecinfra.review.saved import Planned
from renecinfra.review.signing import plan_key
from renecinfra.terraform.plan import Plan
from renecinfra.workspace import Workspace


class Environment(Protocol):
    """What is known of an environment on any platform."""

    workspace: Workspace
    loaded: LoadedProfile

    @property
    def profile(self) -> Profile:
        """The profile after ``extends`` and overrides."""
        ...

    @property
    def name(self) -> str:
        """The environment's name."""
        ...


class Reviewed(Protocol):
    """What is known of a plan on any platform. ``digest`` is of what Terraform or Helm would do.

    ``bundle`` and ``resources`` are what policy looks at: rendered files, and Terraform's plan.
    """

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        ...

    @property
    def review(self) -> Review:
        """Everything that would be done, graded."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Of which profile, commit and versions it is."""
        ...

    @property
    def digest(self) -> str:
        """Equal for plans that do the same."""
        ...

    @property
    def policed(self) -> tuple[Bundle | None, Plan | None]:
        """Rendered files and Terraform's plan, as far as there are any."""
        ...


def planned(session: Environment, made: Reviewed) -> Planned:
    """What of a plan is saved and compared."""
    return Planned(
        environment=session.name,
        platform=session.profile.platform.kind,
        profile=session.loaded.digest,
        commit=made.provenance["commit"],
        versions=made.provenance["versions"],
        terraform=made.digest,
        review=made.review,
    )


def save(session: Environment, made: Reviewed, target: Path) -> None:
    """Write a plan to be applied later with `up --plan`; 0600, though no secret is in it.

    Raises:
        ToolError: there is no directory for it, or the key is weak or exposed.
    """
    if not target.parent.is_dir():
        raise ToolError(
            "plan-file-unwritable",
            f"{target.parent} is not a directory",
            hint="make it, or name another file",
        )
    key = plan_key(session.workspace.root, os.environ, create=True)
    write_atomically(target, saved.sign(planned(session, made), key), 0o600)


@dataclass(frozen=True)
class Approval:
    """What the caller gave for an `up`: a reviewed plan, permissions by address, or a yes.

    ``ask`` shows the plan and asks, or raises DeclinedError.
    """

    ask: Callable[[Any], None]
    plan: Path | None = None
    allowed: Collection[str] = ()
    yes: bool = False

    def check_early(self, session: Environment) -> None:
        """What can be refused before anything is planned.

        Raises:
            DeclinedError: the environment is protected and nobody is to be asked.
            ToolError: the saved plan cannot be used.
        """
        if self.plan is not None:
            self._document(session)
            return
        name = session.name
        hint = (
            f"type its name when asked, or save a plan with `renecinfra plan {name} --out FILE`, have it "
            f"reviewed, and apply it with `renecinfra up {name} --plan FILE`"
        )
        guards.require_question(session.profile, yes=self.yes, hint=hint)

    def check(self, session: Environment, made: Reviewed) -> None:
        """Refuse, or return where the plan may be applied; asks last.

        Raises:
            DeclinedError: a permission is missing, or the answer was no.
            ToolError: the saved plan is not this one, or a backup is missing.
            UsageError: more was allowed than the plan has.
        """
        if self.plan is not None:
            saved.require_equal(self._document(session), planned(session, made))
        guards.require_allowed(made.review, self.allowed)
        require_policy(session, made)
        guards.require_backup(
            session.profile, made.review, lambda: backup_age(session), trailing=_trailing(session)
        )
        if self.plan is None and not made.empty:
            self.ask(made)

    def _document(self, session: Environment) -> dict[str, object]:
        assert self.plan is not None
        return saved.read(self.plan, plan_key(session.workspace.root, os.environ, create=False))


def require_policy(session: Environment, made: Reviewed) -> None:
    """A protected environment is changed only to what policy allows.

    Raises:
        DeclinedError: a rule that denies is broken, and no waiver covers it.
    """
    if not session.profile.protection.protected or made.empty:
        return
    from renecinfra.review.policy.audit import audit

    bundle, resources = made.policed
    found = audit(session.loaded, bundle, resources, today=datetime.now(UTC).date())
    if found.denied:
        raise DeclinedError(
            "policy-denied",
            f"policy denies this: {found.denied[0].message}",
            location=found.denied[0].location,
            hint=f"mend it, or waive it in protection.waivers; `renecinfra audit {session.name}` says more",
            details=tuple(f"{one.rule}: {one.message}" for one in found.denied[1:]),
        )


def _trailing(session: Environment) -> timedelta:
    if session.profile.platform.kind != "aws":
        return timedelta(0)
    from renecinfra.platforms.aws.databases import TRAILING

    return TRAILING


def backup_age(session: Environment) -> timedelta | None:
    """How much going back to the newest restorable state would lose; None where nobody can tell.

    On the local platform, from what the repositories have now; in AWS, from what RDS says now; on a cluster,
    from the newest backup that is complete, because nobody tells how far its archive reaches.
    """
    from renecinfra.provision.aws.session import AwsSession
    from renecinfra.provision.kubernetes.session import ClusterSession

    if isinstance(session, AwsSession):
        from renecinfra.provision.aws.restoring import instances_of

        try:
            latest = instances_of(session).source().latest
        except RestoreError:
            return None
        return None if latest is None else datetime.now(UTC) - latest
    if isinstance(session, ClusterSession):
        from renecinfra.provision.kubernetes.database_backups import newest_age

        return newest_age(session)
    if not isinstance(session, Session):
        return None
    from renecinfra.provision.recoverable import recoverable_age

    return recoverable_age(session)
