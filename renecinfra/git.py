"""What git says of the workspace: which commit it is, and what differs from another. Reads only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from renecinfra.errors import ToolError, UsageError
from renecinfra.process import run

_TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit by its full name; ``dirty`` says that files differ from it, or that new ones are there."""

    name: str
    dirty: bool

    def __str__(self) -> str:
        return f"{self.name}-dirty" if self.dirty else self.name


def head(directory: Path) -> Commit | None:
    """The commit that ``directory`` is at; None where it is in no git repository, or git is not installed."""
    try:
        name = _git(directory, "rev-parse", "--verify", "HEAD").strip()
        return Commit(name, bool(_git(directory, "status", "--porcelain").strip()))
    except ToolError:
        return None


def changed_since(directory: Path, reference: str) -> tuple[str, ...]:
    """Paths below ``directory`` that differ from the last common commit with ``reference``.

    What is not committed counts as well, and so do both names of what was renamed.

    Raises:
        UsageError: git knows no such commit, or shares none with it.
        ToolError: this is no git repository.
    """
    try:
        prefix = _git(directory, "rev-parse", "--show-prefix").strip()
    except ToolError as error:
        raise ToolError(
            "git-missing",
            f"{directory} is not in a git repository, so what changed since {reference} cannot be told",
            hint="name the environments instead",
        ) from error
    # `--end-of-options`, because a reference may begin with a hyphen.
    try:
        commit = _git(
            directory, "rev-parse", "--verify", "--end-of-options", f"{reference}^{{commit}}"
        ).strip()
    except ToolError as error:
        raise UsageError(
            "git-reference",
            f"git knows no commit {reference}",
            hint="fetch it first; a shallow clone in CI needs fetch-depth: 0",
        ) from error
    try:
        base = _git(directory, "merge-base", commit, "HEAD").strip()
    except ToolError as error:
        raise UsageError(
            "git-reference",
            f"{reference} and this branch have no commit in common here",
            hint="a shallow clone in CI needs fetch-depth: 0",
        ) from error
    tracked = _git(directory, "diff", "--name-only", "--no-renames", "-z", base, "--", ".")
    untracked = _git(directory, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    paths = {path.removeprefix(prefix) for path in tracked.split("\0") if path}
    return tuple(sorted(paths | {path for path in untracked.split("\0") if path}))


def _git(directory: Path, *arguments: str) -> str:
    # Settings of the caller's that would point git elsewhere, or have it run programs.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    argv: Sequence[str] = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments)
    return run(argv, cwd=directory, env=environ, timeout=_TIMEOUT, redact=False).stdout
