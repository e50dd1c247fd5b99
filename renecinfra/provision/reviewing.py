"""From what `up` would do to a review of it, and to the facts that say what the plan is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from renecinfra import __version__, git
from renecinfra.kubernetes.releases import ReleasePlan, ReleasesPlan
from renecinfra.platforms.local.environment import LocalEnvironment
from renecinfra.profiles.loading import LoadedProfile
from renecinfra.provision.session import Session
from renecinfra.rendering import FileChange
from renecinfra.review import grading
from renecinfra.review.change import Action, Change, Review, review
from renecinfra.review.grades import Grade, Grades, load_grades
from renecinfra.terraform.plan import Plan
from renecinfra.workspace import Workspace


def review_plan(
    session: Session,
    terraform: Plan,
    files: Iterable[FileChange],
    because: Mapping[str, str],
    versions: tuple[Mapping[str, int] | None, Mapping[str, int]],
) -> Review:
    """All layers of a plan, graded.

    ``versions`` are those of the secrets before (None where they are not known) and after; ``because`` says
    by address why a resource is replaced.

    Raises:
        ProfileError: the grades are wrong.
    """
    grades = load_grades(session.workspace.templates)
    before, after = versions
    changes: list[Change] = [
        *grading.terraform_changes(terraform, grades, because=because),
        *grading.file_changes(files, grades),
        *(grading.secret_changes(before, after, grades) if before is not None else ()),
    ]
    if changes:
        from renecinfra.hooks.catalog import hooks_for

        settings: Mapping[str, Any] = dict(session.profile.hooks)
        names = (hook.name for hook in hooks_for(session.profile))
        changes += grading.hook_changes((name for name in names if settings[name].enabled), grades)
    return review(session.name, changes)


def reasons(
    environment: LocalEnvironment,
    terraform: Plan,
    files: Iterable[FileChange],
    dead: Mapping[str, str],
    supervisor: str,
) -> dict[str, str]:
    """Why a service's resource is replaced, by address: Terraform sees only that a digest differs."""
    paths = [file.path for file in files]
    found = {}
    pending = {change.address for change in terraform.pending if change.action == "replace"}
    for service in environment.services:
        address = environment.address(service.name)
        if address in pending:
            count = sum(path.startswith(f"{service.name}/") for path in paths)
            differ = f"{count} {'file differs' if count == 1 else 'files differ'}"
            found[address] = differ if count else "a secret or renecinfra's own code is newer"
    for name, seen in dead.items():
        address = "terraform_data.supervisor" if name == supervisor else environment.address(name)
        found[address] = f"it does not serve: {seen}"
    return found


class Located(Protocol):
    """An environment on any platform: where it is, and what it is."""

    workspace: Workspace
    loaded: LoadedProfile


def review_terraform(session: Located, terraform: Plan) -> Review:
    """Terraform's part alone, for platforms of which the rest cannot be planned before it is there.

    Raises:
        ProfileError: the grades are wrong.
    """
    grades = load_grades(session.workspace.templates)
    return review(session.loaded.profile.environment, grading.terraform_changes(terraform, grades))


def review_releases(session: Located, planned: ReleasesPlan) -> Review:
    """What Helm would do, object by object.

    Raises:
        ProfileError: the grades are wrong.
    """
    grades = load_grades(session.workspace.templates)
    changes = [change for one in planned.pending for change in _release(one, grades)]
    return review(session.loaded.profile.environment, changes)


_OBJECT_ACTIONS: Final[Mapping[str, Action]] = {"add": "create", "change": "update", "remove": "delete"}


def _release(one: ReleasePlan, grades: Grades) -> Iterator[Change]:
    if one.repair is not None or not one.changes:
        action: Action = "create" if one.action == "install" else "update"
        reason = one.repair.text if one.repair is not None else one.reason or "a new revision of the same"
        yield Change("release", one.release.name, action, Grade.CAUTION, (reason,))
    for object_ in one.changes:
        kind = object_.object.partition(" ")[0]
        grade, reasons, paths = grading.grade_object(kind, object_.old, object_.new, grades)
        address = f"{one.release.name}: {object_.object}"
        action = _OBJECT_ACTIONS[object_.kind]
        yield Change("release", address, action, grade, reasons, paths, object_.diff)


def provenance(session: Located, terraform_version: str) -> dict[str, Any]:
    """What a plan is of, for machines."""
    commit = git.head(session.workspace.root)
    versions = {"renecinfra": __version__}
    if terraform_version:
        versions["terraform"] = terraform_version
    return {
        "profile": session.loaded.digest,
        "commit": str(commit) if commit is not None else None,
        "versions": versions,
    }
