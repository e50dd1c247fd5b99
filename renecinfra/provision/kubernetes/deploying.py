"""`deploy` and `rollback` on a cluster: new images for clients who notice nothing, and the way back.

Every step is one revision of the application's release, so that what is interrupted anywhere is a state
that Helm knows: the next `deploy` or `up` starts from it. Migrations run with the new image while the old
version still serves, and the old version is asked afterwards whether it still does: a migration that breaks
it (a contraction before its expansion is over) stops the deployment before a single pod has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from renecinfra import rendering
from renecinfra.errors import ClusterError, RenecError, UsageError
from renecinfra.kubernetes import installed, releases, rollout
from renecinfra.kubernetes.installed import Revision
from renecinfra.kubernetes.rollout import Objectives
from renecinfra.kubernetes.versions import COLOURED, Versions, other, require_pinned
from renecinfra.platforms.kubernetes import preflight
from renecinfra.provision.deployment import Confirm, DeployPlan, DeployResult, Strategy
from renecinfra.provision.kubernetes.session import ClusterSession


def deploy(
    session: ClusterSession,
    images: Mapping[str, str],
    confirm: Confirm,
    argv: Sequence[str],
    *,
    strategy: Strategy | None = None,
    bake: timedelta | None = None,
) -> DeployResult:
    """Bring images to the clients.

    Raises:
        UsageError: a workload is not there, or an image is not pinned by its digest.
        DeclinedError: the confirmation was refused; nothing has changed.
        ClusterError: the new version is not fit; the old one has the clients.
    """
    require_pinned(session.profile, images)
    settings = session.profile.deployment
    wanted = strategy or settings.strategy
    seconds = (settings.bake if bake is None else bake).total_seconds()
    started = time.monotonic()
    with session.locked("deploy", argv) as run:
        with run.step("plan"):
            work = _Work.of(session)
            plan = _plan(session, work.versions, images, wanted, seconds)
        if not plan.empty:
            confirm(plan)
            with run.step("migrate"):
                work.migrate(plan)
            with run.step(wanted):
                new = {name: after for name, (_, after) in plan.images.items()}
                (work.blue_green if wanted == "blue-green" else work.rolling)(new, seconds)
        return DeployResult(plan, work.revision(), time.monotonic() - started)


def rollback(session: ClusterSession, to: int | None, confirm: Confirm, argv: Sequence[str]) -> DeployResult:
    """Bring back the images of an earlier revision, by default of the newest that had others.

    It rolls: what serves goes only when what comes is ready. The database's schema stays as it is, because
    migrations are such that the version before still runs on it.

    Raises:
        UsageError: there is no such revision, or none before.
        DeclinedError: the confirmation was refused; nothing has changed.
        ClusterError: the old version does not become ready; what served goes on.
    """
    started = time.monotonic()
    with session.locked("rollback", argv) as run:
        with run.step("plan"):
            work = _Work.of(session)
            number, images = _images_of(session, work.versions, to)
            plan = _plan(session, work.versions, images, "rolling", 0)
        if not plan.empty:
            confirm(plan)
            with run.step("rollback"):
                new = {name: after for name, (_, after) in plan.images.items()}
                work.description = f"rollback to revision {number}"
                work.bring(work.versions.with_images(session.profile, new), hooks=False)
        return DeployResult(plan, work.revision(), time.monotonic() - started)


def history(session: ClusterSession) -> list[Revision]:
    """The application's revisions, the oldest first.

    Raises:
        ClusterError: it is not installed, or the cluster does not answer.
    """
    preflight.require_context(session.cluster)
    release = session.environment.application
    return installed.history(session.cluster, release.name, release.namespace)


def _plan(
    session: ClusterSession,
    versions: Versions,
    images: Mapping[str, str],
    strategy: Strategy,
    seconds: float,
) -> DeployPlan:
    before = {name: versions.image(session.profile, name) for name in images}
    changed = {name: (before[name], image) for name, image in images.items() if before[name] != image}
    if strategy == "blue-green" and changed and not set(changed) & set(COLOURED):
        raise UsageError(
            "strategy-unfit",
            f"blue-green is for {' and '.join(COLOURED)}, which have clients; {', '.join(changed)} have none",
            hint="use --strategy rolling",
        )
    return DeployPlan(session.name, strategy, seconds, changed)


def _images_of(session: ClusterSession, versions: Versions, to: int | None) -> tuple[int, dict[str, str]]:
    """The images of a revision that differ from those of now."""
    release, cluster = session.environment.application, session.cluster
    whole = [one for one in history(session) if one.status in ("deployed", "superseded")]
    numbers = [one.number for one in whole]
    if to is not None and to not in numbers:
        raise UsageError(
            "revision-unknown",
            f"{session.name} has no revision {to} that was ever whole",
            hint=f"revisions: {', '.join(map(str, numbers))}",
        )
    for number in [to] if to is not None else reversed(numbers[:-1]):
        then = Versions.of_values(
            cluster.ask(cluster.helm.values(release.name, release.namespace, number)) or {}
        )
        found = _differing(session, versions, then)
        if found or to is not None:
            return number, found
    raise UsageError(
        "revision-unknown",
        f"{session.name} has no revision with other images than those that run",
        hint=f"its history keeps {session.profile.protection.keep_releases} revisions: "
        "protection.keep_releases says how many",
    )


def _differing(session: ClusterSession, now: Versions, then: Versions) -> dict[str, str]:
    profile = session.profile
    names = [
        name for name in (*COLOURED, "worker", "beat", "flower") if getattr(profile.workloads, name).enabled
    ]
    both = {name: (now.image(profile, name), then.image(profile, name)) for name in names}
    return {name: old for name, (new, old) in both.items() if new != old}


@dataclass
class _Work:
    """The application's release under change."""

    session: ClusterSession
    versions: Versions
    chart: list[str]
    secret_versions: Mapping[str, int]
    description: str = "deploy"

    @classmethod
    def of(cls, session: ClusterSession) -> _Work:
        """What is installed.

        Raises:
            ClusterError: it is not, or a killed Helm has left it.
        """
        preflight.require_context(session.cluster)
        release = session.environment.application
        there = installed.installed(session.cluster).get((release.namespace, release.name))
        if there is None or there.stuck:
            state = "not installed" if there is None else there.status
            raise ClusterError(
                "release-missing" if there is None else "release-stuck",
                f"{session.name}'s release {release.name} is {state}",
                hint=f"run `renecinfra up {session.name}` first",
            )
        current = {reference: secret.version for reference, secret in session.secrets().items()}
        return cls(session, session.versions(), session.packages.get(release.chart), current)

    def bring(self, versions: Versions, *, hooks: bool) -> None:
        """One revision: these versions, and waiting until they are ready."""
        session = self.session
        bundle = session.environment.bundle(versions, self.secret_versions)
        rendering.write(bundle, session.paths.build)
        releases.upgrade(
            session.cluster,
            session.environment.application,
            self.chart,
            session.paths.build,
            settings=session.settings(f"renecinfra {self.description}"),
            reporter=session.reporter,
            hooks=hooks,
        )
        self.versions = versions

    def migrate(self, plan: DeployPlan) -> None:
        """The migrations alone; then what serves must still do so."""
        if not plan.migrates:
            return
        image = {"migrations": plan.images["migrations"][1]}
        self.description = "deploy: migrations"
        self.bring(self.versions.with_images(self.session.profile, image), hooks=True)
        try:
            self._smoke("renec-{}", [name for name in COLOURED if self._enabled(name)])
        except ClusterError as error:
            raise ClusterError(
                "migration-breaks",
                f"the version that serves does not work on the migrated schema: {error.message}",
                hint="it goes on serving as well as it can: migrate forward, or restore; expand before you "
                "contract (docs/guide/deploying.md)",
                details=error.details,
            ) from None

    def rolling(self, images: Mapping[str, str], seconds: float) -> None:
        """Replica by replica; Helm goes back by itself when one does not become ready, we on a breach."""
        before = self.versions
        self.description = "deploy: rolling"
        self.bring(before.with_images(self.session.profile, images), hooks=False)
        self._watched(seconds, lambda: self.bring(before, hooks=False), "the images before")

    def blue_green(self, images: Mapping[str, str], seconds: float) -> None:
        """All of the new beside the old, asked by us, then by the clients; the old goes last."""
        profile, before = self.session.profile, self.versions
        coloured = {name: image for name, image in images.items() if name in COLOURED}
        others = {name: image for name, image in images.items() if name not in COLOURED}
        self.description = "deploy: preview"
        sizes = {name: self._replicas(name, before.slot(name)) for name in coloured}
        self.bring(before.with_preview(coloured, sizes), hooks=False)
        try:
            self._filled(sizes, before)
            self._smoke("renec-{}-preview", list(coloured))
        except RenecError:
            self._retire(before)
            raise
        self.description = "deploy: switch"
        self.bring(self.versions.switched(profile), hooks=False)
        self._watched(seconds, lambda: self._switch_back(before), "the version before")
        self._retire(self.versions.with_images(profile, others))

    def _switch_back(self, before: Versions) -> None:
        """The clients first; the new version goes when they have left it."""
        self.description = "deploy: switch back"
        new = {name: self.versions.image(self.session.profile, name) for name in self.versions.preview}
        self.bring(before.with_preview(new, self.versions.preview_replicas), hooks=False)
        self._retire(before)

    def _retire(self, versions: Versions) -> None:
        self.description = "deploy: retire"
        self.bring(versions.with_preview({}), hooks=False)

    def _watched(self, seconds: float, back: Callable[[], None], what: str) -> None:
        session = self.session
        if seconds <= 0:
            return
        with session.reporter.progress("Watching the new version") as progress:
            try:
                rollout.bake(
                    lambda elapsed: rollout.look(session.cluster, elapsed),
                    Objectives.of(session.profile),
                    seconds,
                    lambda text: progress.advance(0, text),
                )
            except ClusterError as error:
                session.reporter.warn(f"{error.message}: going back to {what}")
                back()
                error.hint = f"{what} serves again; {error.hint}"
                raise

    def _replicas(self, name: str, slot: str, field: str = "replicas") -> int:
        """How many pods a slot has."""
        session = self.session
        found = session.cluster.objects("deployments", session.environment.namespace)
        status = {one["metadata"]["name"]: one.get("status", {}) for one in found}
        return int(status.get(f"renec-{name}-{slot}", {}).get(field, 0))

    def _filled(self, sizes: Mapping[str, int], before: Versions) -> None:
        """Until the new slots are as large as those that have the clients: Helm waits for one pod only."""
        deadline = time.monotonic() + self.session.profile.releases.timeout.total_seconds()
        with self.session.reporter.step("Waiting for as many replicas as serve now"):
            for name, wanted in sizes.items():
                while self._replicas(name, other(before.slot(name)), "readyReplicas") < wanted:
                    if time.monotonic() > deadline:
                        error = ClusterError(
                            "release-timeout",
                            f"the new version of {name} does not come to {wanted} ready replicas",
                            hint="has the cluster room for both versions at once?",
                        )
                        raise self.session.cluster.explained(error, self.session.environment.namespace)
                    time.sleep(1)

    def _smoke(self, service: str, names: Sequence[str]) -> None:
        session = self.session
        namespace = session.environment.namespace
        for name in names:
            with session.reporter.step(f"Asking {service.format(name)}"):
                rollout.smoke(session.cluster, session.profile, namespace, name, service.format(name))

    def _enabled(self, name: str) -> bool:
        return bool(getattr(self.session.profile.workloads, name).enabled)

    def revision(self) -> int:
        """The release's number now."""
        release = self.session.environment.application
        return installed.installed(self.session.cluster)[release.namespace, release.name].revision
