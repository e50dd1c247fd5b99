"""What Helm would do to a cluster, and doing it. Neutral to the platform: it takes releases and a bundle.

``plan`` compares what each chart renders to with what its release consists of; it changes nothing.
``apply`` works through the plan in its order: repairs what a killed Helm left, brings custom resource
definitions up, upgrades and waits; a release that does not become ready is rolled back, and the later ones
are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from renecinfra.errors import ClusterError
from renecinfra.kubernetes import diffing
from renecinfra.kubernetes.catalogue import Release
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.diffing import ObjectChange
from renecinfra.kubernetes.installed import Installed, Repair, carry_out, installed, repair_of
from renecinfra.kubernetes.packages import Packages
from renecinfra.kubernetes.watching import Watch
from renecinfra.rendering import Bundle
from renecinfra.reporting import Reporter

_PARALLEL: Final = 4
_KINDS: Final[tuple[Literal["add", "change", "remove"], ...]] = ("add", "change", "remove")


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What becomes of one release. ``reason`` says why, where no object of it differs."""

    release: Release
    action: Literal["install", "upgrade", "unchanged"]
    chart: tuple[str, ...]
    changes: tuple[ObjectChange, ...] = ()
    before: Installed | None = None
    repair: Repair | None = None
    reason: str = ""
    unknown: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "name": self.release.name,
            "namespace": self.release.namespace,
            "chart": self.release.chart.label,
            "installed": self.before.document() if self.before else None,
            "action": self.action,
            "reason": self.reason,
            "repair": self.repair.text if self.repair else None,
            "unknown_values": list(self.unknown),
            "objects": [{"object": one.object, "kind": one.kind, "diff": one.diff} for one in self.changes],
        }

    @property
    def summary(self) -> str:
        """The changes in few words."""
        if self.action == "install":
            return f"new, {len(self.changes)} objects"
        counts = Counter(one.kind for one in self.changes)
        words = zip(("new", "changed", "removed"), _KINDS, strict=True)
        told = ", ".join(f"{counts[kind]} {word}" for word, kind in words if counts[kind])
        return ", ".join(part for part in (self.reason, told) if part)


@dataclass(frozen=True, slots=True)
class ReleasesPlan:
    """What becomes of all of them, in order."""

    releases: tuple[ReleasePlan, ...]

    @property
    def pending(self) -> tuple[ReleasePlan, ...]:
        """Those that something is done about."""
        return tuple(one for one in self.releases if one.action != "unchanged" or one.repair)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.pending

    @property
    def marks(self) -> list[str]:
        """What is done to which release, for digests; the objects are compared one by one."""
        return [f"{one.release.name} {one.action} {one.release.chart.label}" for one in self.pending]

    def document(self) -> list[dict[str, Any]]:
        """For machines."""
        return [one.document() for one in self.releases]


@dataclass(frozen=True, slots=True)
class Settings:
    """How releases are applied. ``timeout`` is in seconds, ``keep`` how many revisions of each stay."""

    timeout: int
    keep: int
    description: str


def plan(cluster: Cluster, packages: Packages, releases: Sequence[Release], bundle: Bundle) -> ReleasesPlan:
    """What would change. Asks the cluster and the charts' repositories; changes nothing.

    Raises:
        ClusterError: the cluster or a repository does not answer, or a chart refuses its values.
        ToolError: a mirror lacks a chart.
    """
    there = installed(cluster)
    server = cluster.ask(cluster.kubectl.version())["serverVersion"]["gitVersion"]
    known = cluster.read(cluster.kubectl.api_versions()).split()
    planner = _Planner(cluster, packages, bundle, server.partition("+")[0].partition("-")[0], known)
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="plan") as pool:
        work = [(one, there.get((one.namespace, one.name))) for one in releases]
        return ReleasesPlan(tuple(pool.map(lambda item: planner.plan(*item), work)))


@dataclass(frozen=True, slots=True)
class _Planner:
    cluster: Cluster
    packages: Packages
    bundle: Bundle
    kube_version: str
    api_versions: Sequence[str]

    def plan(self, release: Release, before: Installed | None) -> ReleasePlan:
        chart = self.packages.get(release.chart)
        text = self.bundle[release.values].text
        unknown: list[str] = []
        if not release.chart.is_ours:
            unknown = self.packages.unknown_keys(release.chart, chart, yaml.safe_load(text) or {})
        made = ReleasePlan(release, "install", tuple(chart), before=before, unknown=tuple(unknown))
        wanted = self._rendered(release, chart, text)
        repair = repair_of(self.cluster, before) if before is not None and before.stuck else None
        present: diffing.Objects = {}
        if before is not None and not (repair and repair.revision == 0):
            revision = repair.revision if repair else None
            argv = self.cluster.helm.manifest(release.name, release.namespace, revision)
            present = diffing.objects(self.cluster.read(argv))
        if present and wanted != present:
            wanted = diffing.without_random(wanted, self._rendered(release, chart, text), present)
        changes = tuple(diffing.changes(present, wanted))
        if not present or before is None:
            return _with(made, "install", changes, repair, "")
        reason = self._reason(release, before, text)
        action: Literal["upgrade", "unchanged"] = "upgrade" if changes or reason or repair else "unchanged"
        return _with(made, action, changes, repair, reason)

    def _rendered(self, release: Release, chart: Sequence[str], values: str) -> dict[diffing.Key, Any]:
        argv = self.cluster.helm.template(
            release.name,
            chart,
            release.namespace,
            kube_version=self.kube_version,
            api_versions=self.api_versions,
        )
        return diffing.objects(self.cluster.read(argv, input_=values))

    def _reason(self, release: Release, before: Installed, values: str) -> str:
        """What the objects do not tell: a failed state, another chart, or values that only hooks use."""
        if before.status not in ("deployed", "pending-upgrade", "pending-rollback"):
            return f"is {before.status}"
        if before.chart != release.chart.label:
            return f"chart {before.chart} to {release.chart.label}"
        given = self.cluster.ask(self.cluster.helm.values(release.name, release.namespace)) or {}
        return "values differ" if given != (yaml.safe_load(values) or {}) else ""


def _with(
    made: ReleasePlan,
    action: Literal["install", "upgrade", "unchanged"],
    changes: tuple[ObjectChange, ...],
    repair: Repair | None,
    reason: str,
) -> ReleasePlan:
    return ReleasePlan(made.release, action, made.chart, changes, made.before, repair, reason, made.unknown)


def apply(
    cluster: Cluster,
    planned: ReleasesPlan,
    directory: Path,
    *,
    settings: Settings,
    reporter: Reporter,
    after: Callable[[ReleasePlan], None] = lambda _done: None,
) -> None:
    """Carry the plan out.

    ``directory`` is where the bundle has been written to; ``after`` is called with each release that is done,
    before the next one.

    Raises:
        ClusterError: a release did not become ready and was rolled back, or the cluster refuses; the releases
            before it stay as they are now, those after it as they were.
        InterruptedRunError: it was interrupted; Helm has ended, and rolled its release back.
    """
    with reporter.progress("Releases", len(planned.pending)) as progress:
        for one in planned.pending:
            progress.advance(0, one.release.name)
            if one.repair is not None:
                reporter.note(one.repair.text)
                carry_out(cluster, one.repair, timeout=settings.timeout)
            if one.action != "unchanged":
                upgrade(cluster, one.release, one.chart, directory, settings=settings, reporter=reporter)
                after(one)
            progress.advance(1, one.release.name)


def upgrade(
    cluster: Cluster,
    release: Release,
    chart: Sequence[str],
    directory: Path,
    *,
    settings: Settings,
    reporter: Reporter,
    hooks: bool = True,
) -> None:
    """Install or upgrade one release and wait until all of it is ready.

    Raises:
        ClusterError: it did not become ready, and was rolled back; why is said.
        InterruptedRunError: it was interrupted, and was rolled back.
    """
    _bring_up_definitions(cluster, chart)
    argv = cluster.helm.upgrade(
        release.name,
        chart,
        release.namespace,
        directory / release.values,
        timeout=settings.timeout,
        keep=settings.keep,
        description=settings.description,
        hooks=hooks,
    )
    with (
        reporter.step(f"{release.name} ({release.chart.label})"),
        Watch(cluster, release.namespace, reporter) as watch,
    ):
        try:
            cluster.change(
                argv,
                on_interrupt=lambda: reporter.warn(
                    f"interrupted: Helm brings {release.name} back, wait for it"
                ),
            )
        except ClusterError as error:
            raise cluster.explained(error, release.namespace, watch.seen) from None


def _bring_up_definitions(cluster: Cluster, chart: Sequence[str]) -> None:
    """Helm installs a chart's definitions once and never upgrades them, so they are applied first."""
    definitions = cluster.read(cluster.helm.crds(chart))
    if definitions.strip():
        cluster.apply(definitions)
