"""What an environment became without us: resources, installed files, services and running alert rules.

Compared is what the last `up` left with what is there now. What the profile wants is `plan`'s question.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from renecinfra.errors import HookError, ToolError
from renecinfra.provision import applied
from renecinfra.provision.drift import Drift, DriftItem
from renecinfra.provision.session import Session
from renecinfra.terraform.plan import path_text


def drift(session: Session, argv: Sequence[str]) -> Drift:
    """Look at everything; changes nothing.

    Raises:
        ToolError: the environment is not up.
        TerraformError: Terraform refuses.
        LockedError: another run holds the environment.
    """
    if not (session.paths.terraform / "terraform.tfstate").exists():
        raise ToolError(
            "not-up",
            f"{session.name} is not up, so nothing of it can have drifted",
            hint=f"run `renecinfra up {session.name}`",
        )
    skipped: dict[str, str] = {}
    items: list[DriftItem] = []
    with session.locked("drift", argv) as run:
        with run.step("resources"), session.reporter.step("Refreshing"):
            items += _resources(session)
        with run.step("files"), session.reporter.step("Comparing files"):
            items += _files(session, skipped)
        with run.step("services"), session.reporter.step("Asking the services"):
            items += _services(session)
        with run.step("rules"), session.reporter.step("Comparing alert rules"):
            items += _rules(session, skipped)
    return Drift(session.name, tuple(items), skipped)


def _resources(session: Session) -> Iterator[DriftItem]:
    """A refresh-only plan; the stack's files are those of the last `up`."""
    terraform = session.terraform
    terraform.init()
    plan_file = session.paths.state / "drift.tfplan"
    try:
        terraform.plan(plan_file, refresh_only=True)
        found = terraform.show(plan_file).drift
    finally:
        plan_file.unlink(missing_ok=True)
    for change in found:
        paths = ", ".join(path_text(path) for path in change.changed)
        seen = "is gone" if change.action == "delete" else f"differs in {paths}" if paths else change.action
        yield DriftItem("terraform", change.address, seen)


def _files(session: Session, skipped: dict[str, str]) -> Iterator[DriftItem]:
    left = applied.files(session.paths)
    if left is None:
        skipped["files"] = "the last `up` was made by a version that did not record what it installed"
        return
    etc = session.paths.etc
    present = {path.relative_to(etc).as_posix(): path for path in sorted(etc.rglob("*")) if path.is_file()}
    for name, digest in sorted(left.items()):
        path = present.get(name)
        if path is None:
            yield DriftItem("file", name, "is gone", *_who(etc / name, parent=True))
        elif applied.digest(path) != digest:
            yield DriftItem("file", name, "was changed", *_who(path))
    # Secret files are 0600 and recorded by nobody; anything else that is more was not put there by us.
    for name, path in present.items():
        if name not in left and path.stat().st_mode & 0o077:
            yield DriftItem("file", name, "was not put there by `up`", *_who(path))


def _who(path: Path, *, parent: bool = False) -> tuple[str | None, str | None]:
    """The owner and the time of what was last written there."""
    try:
        found = (path.parent if parent else path).lstat()
        owner = pwd.getpwuid(found.st_uid).pw_name
    except OSError:
        return None, None
    except KeyError:
        owner = f"uid {found.st_uid}"
    when = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="seconds")
    return f"the directory's owner {owner}, or root" if parent else f"{owner}, or root", when


def _services(session: Session) -> Iterator[DriftItem]:
    supervision = session.supervision
    if not supervision.running():
        yield DriftItem("service", "supervisor", "does not run")
        return
    recorded = {resource.address for resource in session.recorded() if not resource.tainted}
    names = [s.name for s in session.environment.services if session.environment.address(s.name) in recorded]
    for name, check in supervision.health_all(names).items():
        if not check.ok:
            yield DriftItem("service", name, check.detail)


def _rules(session: Session, skipped: dict[str, str]) -> Iterator[DriftItem]:
    from renecinfra.hooks.monitoring import check_rules, installed_rules
    from renecinfra.hooks.prometheus import Server

    wanted = installed_rules(session.paths.etc / "prometheus" / "rules")
    try:
        with Server("prometheus", session.profile.local.port("prometheus")) as prometheus:
            found = check_rules(wanted, prometheus.rules())
    except HookError as error:
        skipped["rules"] = error.message
        return
    if not found.ok:
        yield DriftItem("rules", "prometheus", found.detail)
