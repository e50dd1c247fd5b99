"""From a name to a checked profile: files, overrides, the model, and the rules across sections."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError

from renecinfra.profiles import inheritance, policy
from renecinfra.profiles import overrides as overriding
from renecinfra.profiles.model import Profile
from renecinfra.profiles.problems import Problem, fail, from_validation
from renecinfra.profiles.tree import (
    ListNode,
    MappingNode,
    Node,
    Scalar,
    Source,
    dotted,
    leaves,
    merge,
    plain,
    source_of,
)
from renecinfra.workspace import Workspace

# Text that someone meant to replace. The commands of workloads may hold <, so only words count there.
_PLACEHOLDER: Final = re.compile(
    r"(?i)\b(?:change[-_ ]?me|replace[-_ ]?me|fix[-_ ]?me|todo|tbd|xxx+)\b|\byour[-_](?:[a-z]+[-_])?"
    r"(?:account|bucket|domain|host|key|password|token|secret|id)\b"
)
_ANGLES: Final = re.compile(r"<[A-Za-z][A-Za-z0-9 _-]*>")


@dataclass(frozen=True)
class LoadedProfile:
    """A valid profile and where it comes from: as it was written, its files and overrides joined.

    ``files`` are the paths read, below the workspace: the environment's own first, then its bases.
    """

    profile: Profile
    written: MappingNode
    files: tuple[str, ...]

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """The source of every value that was written, by its dotted path; what is not in it is a default."""
        return MappingProxyType({dotted(path): node.source for path, node in leaves(self.written)})

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the profile's canonical JSON, in hexadecimal: equal profiles have equal digests."""
        return digest(self.profile)


def load(
    workspace: Workspace | Path,
    name: str,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> LoadedProfile:
    """The profile ``name``: its file, what that extends, ``RENECINFRA__*``, then ``--set``; the last wins.

    ``environ`` is the process's environment unless another is given.

    Raises:
        ProfileError: anything is wrong. The location is where the culprit was written, in whichever file;
            further problems are in its details.
    """
    workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    root, files = inheritance.resolve(workspace, name)
    paths = tuple(file.path for file in files)
    for tree in overriding.from_environ(os.environ if environ is None else environ):
        root = merge(root, tree)
    for tree in overriding.from_options(overrides):
        root = merge(root, tree)
    problems = list(_placeholders(root))
    profile, invalid = _validate(root, name)
    told = {problem.path for problem in problems}
    problems += [problem for problem in invalid if problem.path not in told]
    if profile is not None and not problems:
        problems = [_violation(root, violation) for violation in policy.violations(profile)]
    if problems or profile is None:
        fail(problems, name, paths)
    return LoadedProfile(profile, root, paths)


def settings(profile: Profile) -> list[tuple[str, str]]:
    """Every setting, defaults included, by the dotted path that ``sources`` has; lists are JSON."""
    return list(_settings((), profile.model_dump(mode="json")))


def _settings(path: tuple[str, ...], value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _settings((*path, key), below)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield dotted(path), text


def digest(profile: Profile) -> str:
    """The SHA-256 of a profile's canonical JSON, in hexadecimal."""
    canonical = json.dumps(profile.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _validate(root: MappingNode, name: str) -> tuple[Profile | None, list[Problem]]:
    problems = []
    if "environment" not in root.entries:
        problems.append(
            Problem(
                "profile-invalid",
                ("environment",),
                f"environment is missing: {name}.yaml is only there to be extended",
                root.source,
                f"write `environment: {name}` in it to make it an environment",
            )
        )
    elif plain(root.entries["environment"].node) != name:
        message = f"environment must be {name}, as the file's name says"
        source = source_of(root, ["environment"])
        hint = f"write `environment: {name}`, or rename the file"
        problems.append(Problem("profile-invalid", ("environment",), message, source, hint))
    try:
        profile = Profile.model_validate(plain(root))
    except ValidationError as error:
        told = {problem.path for problem in problems}
        errors = error.errors(include_url=False, include_input=False)
        more = from_validation(errors, root, Profile)
        return None, problems + [problem for problem in more if problem.path not in told]
    return profile, problems


def _placeholders(root: MappingNode) -> Iterator[Problem]:
    for path, node in leaves(root):
        for place, scalar in _scalars(path, node):
            text = scalar.value if isinstance(scalar.value, str) else ""
            angles = "command" not in path and _ANGLES.search(text)
            if angles or _PLACEHOLDER.search(text):
                message = f"{dotted(place)} is still a placeholder"
                yield Problem("profile-placeholder", place, message, scalar.source, "write the real value")


def _scalars(path: tuple[str | int, ...], node: Node) -> Iterator[tuple[tuple[str | int, ...], Scalar]]:
    if isinstance(node, Scalar):
        yield path, node
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from _scalars((*path, index), item)


def _violation(root: MappingNode, violation: policy.Violation) -> Problem:
    source = source_of(root, violation.path)
    return Problem(violation.id, violation.path, violation.message, source, violation.hint)
