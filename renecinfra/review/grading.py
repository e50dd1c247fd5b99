"""Grades what other layers plan: Terraform's changes, objects of releases, files, secrets and hooks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from renecinfra.rendering import FileChange
from renecinfra.review.change import Action, Change
from renecinfra.review.conditions import holds
from renecinfra.review.grades import Actions, Grade, Grades, NamedVerdict, Verdict, matches
from renecinfra.review.showing import attribute_diff
from renecinfra.terraform.plan import UNKNOWN, AttributePath, Plan, ResourceChange, differing, path_text

_FILE_ACTIONS: Final[Mapping[str, Action]] = {"add": "create", "change": "update", "remove": "delete"}
_RESOURCE_ACTIONS: Final[Mapping[str, Action]] = {
    action: action for action in ("create", "update", "replace", "delete", "forget")
}  # type: ignore[assignment, misc, unused-ignore]
_WHY: Final = {
    "replace_because_tainted": "an earlier apply of it failed half way",
    "replace_by_request": "it does not serve, or a replacement was asked for",
    "replace_because_cannot_update": "",
    "delete_because_no_resource_config": "the configuration no longer has it",
    "delete_because_count_index": "the configuration has fewer of them",
    "delete_because_each_key": "the configuration no longer has it",
}


def terraform_changes(
    plan: Plan, grades: Grades, *, because: Mapping[str, str] | None = None
) -> Iterator[Change]:
    """Every pending change of a Terraform plan; ``because`` says by address why one was asked for."""
    for change in plan.pending:
        grade, reasons = grade_resource(change, grades, (because or {}).get(change.address, ""))
        yield Change(
            "terraform",
            change.address,
            _RESOURCE_ACTIONS[change.action],
            grade,
            reasons,
            tuple(dict.fromkeys(path_text(path) for path in change.changed)),
            attribute_diff(change.before, change.after, change.changed),
        )


@dataclass(frozen=True, slots=True)
class _Step:
    """What happens to one thing; ``because`` is why, where the planner says it."""

    action: Action
    before: Any
    after: Any
    paths: Sequence[AttributePath]
    because: str = ""


def grade_resource(
    change: ResourceChange, grades: Grades, because: str = ""
) -> tuple[Grade, tuple[str, ...]]:
    """The grade of one resource's change, and why."""
    because = because or _WHY.get(change.reason or "", "")
    if change.action == "replace" and change.replace_paths and not because:
        because = f"{', '.join(change.replace_paths)} cannot change in place"
    action = _RESOURCE_ACTIONS[change.action]
    step = _Step(action, change.before, change.after, change.changed, because)
    return _grade(grades.of_resource(change.address, change.type), grades, step)


def grade_object(
    kind: str, before: Any, after: Any, grades: Grades
) -> tuple[Grade, tuple[str, ...], tuple[str, ...]]:
    """The grade of an object of a cluster from its old and new form (None where there is none).

    Returns the grade, why, and the paths that differ.
    """
    action: Action = "create" if before is None else "delete" if after is None else "update"
    paths = tuple(differing(before, after))
    grade, reasons = _grade(grades.of_object(kind), grades, _Step(action, before, after, paths))
    return grade, reasons, tuple(path_text(path) for path in paths)


def _grade(known: Actions, grades: Grades, step: _Step) -> tuple[Grade, tuple[str, ...]]:
    found: list[tuple[Grade, str]] = []
    if step.action != "update" or not step.paths:
        found.append(_of_action(known, grades, step))
    if step.action == "create":
        found += _of_new(known, step.after)
    elif step.action in ("update", "replace"):
        # A replacement is judged by its end; attributes can only make it worse.
        found += [_of_attribute(known, grades, path, step) for path in _meant(known, step)]
    worst = max(grade for grade, _ in found)
    return worst, tuple(dict.fromkeys(reason for grade, reason in found if grade is worst))


def _of_action(known: Actions, grades: Grades, step: _Step) -> tuple[Grade, str]:
    own: Verdict | None = getattr(known, step.action)
    suffix = f" ({step.because})" if step.because else ""
    if own is None and known.data is not None and step.action in ("delete", "replace"):
        return Grade.STATEFUL, f"loses {known.data}{suffix}"
    if own is None and known.data is not None and step.action == "forget":
        return Grade.CAUTION, f"{known.data} stays, and is no longer managed"
    verdict = own or getattr(grades.unknown, step.action)
    return verdict.rank, f"{verdict.reason}{suffix}"


def _of_new(known: Actions, after: Any) -> Iterator[tuple[Grade, str]]:
    for key in known.attributes:
        value = _at(after, tuple(key.split(".")))
        rule = next((r for r in known.rules(key) if r.create and holds(r.when, None, value)), None)
        if rule is not None:
            yield rule.rank, f"{key}: {rule.reason}"


def _meant(known: Actions, step: _Step) -> Iterable[AttributePath]:
    """What a replacement is to be: its own id, ARN and all else that its creation computes say nothing.

    Of what is known only afterwards, attributes that have rules of their own still count.
    """
    if step.action == "update":
        return step.paths
    return [
        path
        for path in step.paths
        if path[0] not in ("id", "arn", "output", "address", "endpoint")
        and (path[0] in known.attributes or _at(step.after, path) != UNKNOWN)
    ]


def _of_attribute(known: Actions, grades: Grades, path: AttributePath, step: _Step) -> tuple[Grade, str]:
    shown = path_text(path)
    if path[0] in grades.labels:
        return Grade.SAFE, f"{path[0]}: a label"
    for length in range(len(path), 0, -1):
        key = ".".join(str(step) for step in path[:length] if isinstance(step, str))
        if isinstance(path[length - 1], str) and key in known.attributes:
            own = path[:length]
            old, new = _at(step.before, own), _at(step.after, own)
            rule = next((rule for rule in known.rules(key) if holds(rule.when, old, new)), None)
            if rule is not None:
                return rule.rank, f"{path_text(own)}: {rule.reason}"
    verdict = known.update or grades.unknown.update
    return verdict.rank, f"{shown}: {verdict.reason}"


def _at(value: Any, path: Sequence[str | int]) -> Any:
    """What is at a path; a list on the way, where the path has no index, stands for its only member."""
    for step in path:
        if isinstance(value, list) and isinstance(step, str):
            value = value[0] if len(value) == 1 else None
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def file_changes(files: Iterable[FileChange], grades: Grades) -> Iterator[Change]:
    """Rendered files that differ from what is installed."""
    for file in files:
        verdict = _named(grades.files, file.path)
        action = _FILE_ACTIONS[file.kind]
        grade = Grade.SAFE if action == "create" else verdict.rank
        reason = "new" if action == "create" else verdict.reason
        yield Change("file", file.path, action, grade, (reason,), diff=file.diff)


def secret_changes(before: Mapping[str, int], after: Mapping[str, int], grades: Grades) -> Iterator[Change]:
    """Secrets of which another version is used, by reference; values are not known here."""
    for reference in sorted({*before, *after}):
        old, new = before.get(reference), after.get(reference)
        if old == new:
            continue
        verdicts = grades.secrets
        verdict = verdicts.added if old is None else verdicts.removed if new is None else verdicts.changed
        action: Action = "create" if old is None else "delete" if new is None else "update"
        versions = f"version {new}" if old is None else f"version {old} -> {new if new else 'none'}"
        yield Change("secret", reference, action, verdict.rank, (f"{versions}: {verdict.reason}",))


def hook_changes(names: Iterable[str], grades: Grades) -> Iterator[Change]:
    """Hooks that will run, in their order."""
    for name in names:
        verdict = _named(grades.hooks, name)
        yield Change("hook", name, "run", verdict.rank, (verdict.reason,))


def _named(verdicts: Sequence[NamedVerdict], name: str) -> NamedVerdict:
    """The first that matches; the last one always does."""
    return next(verdict for verdict in verdicts if matches(verdict.match, name))
