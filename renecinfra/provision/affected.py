"""Which environments a change of files concerns: through ``extends``, templates, stacks and our own code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from renecinfra.errors import ProfileError
from renecinfra.profiles import inheritance
from renecinfra.profiles.tree import MappingNode, Scalar, find
from renecinfra.workspace import Workspace

_ALL: Final = "*"
# A path belongs to the first entry that it begins with; the kinds are the platforms that it concerns.
_CONCERNS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("templates/kubernetes/", ("aws", "kubernetes")),
    ("templates/helm/", ("aws", "kubernetes")),
    ("templates/charts/", ("aws", "kubernetes")),
    ("templates/postgresql/", ("local",)),
    ("templates/pgbouncer/", ("local",)),
    ("templates/redis/", ("local",)),
    ("templates/openbao/", ("local",)),
    ("templates/pgbackrest/", ("local",)),
    ("templates/", (_ALL,)),
    ("terraform/stacks/local/tests/", ()),
    ("terraform/stacks/local/", ("local",)),
    ("terraform/stacks/aws/", ("aws",)),
    ("terraform/modules/", ("aws",)),
    ("terraform/", (_ALL,)),
    ("renecinfra/", (_ALL,)),
    ("pyproject.toml", (_ALL,)),
)


def environments(workspace: Workspace) -> dict[str, str]:
    """Every environment and its platform's kind; a profile that only others extend is none.

    A file that cannot be read as a profile is among them, with the kind ``unknown``: planning it says why.
    """
    found = {}
    for name in inheritance.names(workspace):
        try:
            root, files = inheritance.resolve(workspace, name)
        except ProfileError:
            found[name] = "unknown"
            continue
        if "environment" in files[0].root.entries:
            found[name] = _kind(root)
    return found


def _kind(root: MappingNode) -> str:
    node = find(root, ["platform", "kind"])
    return str(node.value) if isinstance(node, Scalar) else "unknown"


def affected(workspace: Workspace, paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The environments that a change of ``paths`` (below the workspace) concerns, with those paths."""
    changed = tuple(paths)
    profiles = f"{workspace.environments.name}/"
    found = {}
    for name, kind in environments(workspace).items():
        own = _files(workspace, name, profiles)
        reasons = tuple(path for path in changed if path in own or kind in _concerned(path, kind))
        if reasons:
            found[name] = reasons
    return found


def _files(workspace: Workspace, name: str, profiles: str) -> frozenset[str]:
    """A profile and everything that it extends; of one that is broken, all profiles."""
    try:
        return frozenset(file.path for file in inheritance.resolve(workspace, name)[1])
    except ProfileError:
        return frozenset(f"{profiles}{other}.yaml" for other in inheritance.names(workspace))


def _concerned(path: str, kind: str) -> tuple[str, ...]:
    kinds = next((kinds for prefix, kinds in _CONCERNS if path.startswith(prefix)), ())
    return (kind,) if _ALL in kinds or (kinds and kind == "unknown") else kinds


def by_environment(found: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One line for each environment: why it is planned."""
    return [
        f"{name}: {paths[0]}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
        for name, paths in found.items()
    ]
