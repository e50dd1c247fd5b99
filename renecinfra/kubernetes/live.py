"""What the objects of releases became without us: each field that a chart sets, against what is there.

Fields that no chart sets are the cluster's own, or somebody's who may: autoscalers', injectors', defaults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from renecinfra.kubernetes.catalogue import Release
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.diffing import objects
from renecinfra.kubernetes.installed import installed

_QUANTITY: Final = re.compile(r"(-?\d+(?:\.\d+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTORS: Final[dict[str | None, Decimal]] = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** (power + 1) for power, unit in enumerate(("k", "M", "G", "T", "P", "E"))},
    **{f"{unit}i": Decimal(1024) ** (power + 1) for power, unit in enumerate("KMGTPE")},
}
_NAMED: Final = ("name", "key", "mountPath", "containerPort", "port", "type")
"""By what the members of a list are told apart; the cluster may keep them in another order."""
_HELMS: Final = "metadata.labels.app.kubernetes.io/managed-by"
"""Helm writes its own name there, whatever the chart says."""
_OURS: Final = ("helm", "renecinfra")
"""Who writes objects on our behalf."""


@dataclass(frozen=True, slots=True)
class LiveDifference:
    """An object that is gone, or has other values in ``paths``; never the values, which may be secret.

    ``who`` is the name by which the newest writer that is not ours goes, and ``when`` its time, where known.
    """

    release: str
    object: str
    paths: tuple[str, ...]
    who: str | None
    when: str | None

    @property
    def gone(self) -> bool:
        """Whether the object is not there at all."""
        return not self.paths


def compare(cluster: Cluster, releases: Sequence[Release]) -> list[LiveDifference]:
    """Every object of the releases that are installed, as the cluster has it.

    Raises:
        ClusterError: the cluster does not answer.
    """
    there = installed(cluster)
    found: list[LiveDifference] = []
    for release in releases:
        if (release.namespace, release.name) not in there:
            continue
        manifest = cluster.read(cluster.helm.manifest(release.name, release.namespace))
        wanted = objects(manifest)
        if not wanted:
            continue
        printed = cluster.read(cluster.kubectl.get_all(release.namespace), input_=manifest)
        live = {_key(key, release.namespace): one for key, one in objects(printed).items()}
        for key, one in wanted.items():
            found += _differences(release, one, live.get(_key(key, release.namespace)))
    return found


def _key(key: tuple[str, str, str, str], namespace: str) -> tuple[str, str, str, str]:
    # A manifest may leave the namespace out; an object of the whole cluster has none on either side.
    version, kind, where, name = key
    return version, kind, where or namespace, name


def _differences(
    release: Release, wanted: Mapping[str, Any], live: Mapping[str, Any] | None
) -> Iterator[LiveDifference]:
    name = f"{wanted['kind']}/{wanted['metadata']['name']}"
    if live is None:
        yield LiveDifference(release.name, name, (), None, None)
        return
    parts = {key: value for key, value in wanted.items() if key not in ("status", "stringData")}
    paths = tuple(sorted(set(_changed(parts, live, "")) - {_HELMS}))
    if paths:
        yield LiveDifference(release.name, name, paths, *_writer(live))


def _writer(live: Mapping[str, Any]) -> tuple[str | None, str | None]:
    fields = [
        one
        for one in live.get("metadata", {}).get("managedFields", [])
        if one.get("manager") not in _OURS and one.get("subresource") != "status"
    ]
    newest = max(fields, key=lambda one: str(one.get("time", "")), default=None)
    return (None, None) if newest is None else (newest.get("manager"), newest.get("time"))


def _changed(wanted: Any, live: Any, path: str) -> Iterator[str]:
    """The paths below which what was wanted is not there."""
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            if wanted:
                yield path
            return
        for key, value in wanted.items():
            where = f"{path}.{key}" if path else str(key)
            if key in live:
                yield from _changed(value, live[key], where)
            elif not _nothing(value):
                yield where
    elif isinstance(wanted, Sequence) and not isinstance(wanted, str):
        yield from _changed_list(wanted, live if isinstance(live, list) else [], path)
    elif not _nothing(wanted) and not same(wanted, live):
        yield path


def _changed_list(wanted: Sequence[Any], live: Sequence[Any], path: str) -> Iterator[str]:
    by = next((key for key in _NAMED if _tells_apart(key, wanted) and _tells_apart(key, live)), None)
    if by is None:
        if len(wanted) != len(live):
            yield path
            return
        for number, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _changed(one, other, f"{path}[{number}]")
        return
    present = {str(one[by]): one for one in live}
    for one in wanted:
        mark = str(one[by])
        if mark in present:
            yield from _changed(one, present[mark], f"{path}[{mark}]")
        else:
            yield f"{path}[{mark}]"


def _tells_apart(key: str, members: Sequence[Any]) -> bool:
    marks = [str(one[key]) for one in members if isinstance(one, Mapping) and key in one]
    return bool(members) and len(marks) == len(members) and len(set(marks)) == len(marks)


def _nothing(value: Any) -> bool:
    """What the cluster leaves out because it says nothing."""
    return (
        value is None or value is False or value in ("", 0) or (isinstance(value, (list, dict)) and not value)
    )


def same(wanted: Any, live: Any) -> bool:
    """Whether two values are one to Kubernetes, which writes quantities in its own form."""
    if wanted == live or str(wanted) == str(live):
        return True
    first, second = (_QUANTITY.fullmatch(str(one)) for one in (wanted, live))
    if first is None or second is None:
        return False
    amounts = [Decimal(one[1]) * _FACTORS[one[2]] for one in (first, second)]
    return bool(amounts[0] == amounts[1])
