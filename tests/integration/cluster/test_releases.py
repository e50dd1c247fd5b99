"""Installing, upgrading, failing, going back: of the application and of a third party's release."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from renecinfra.errors import ClusterError
from renecinfra.kubernetes import catalogue, installed, releases
from renecinfra.kubernetes.backends import in_cluster
from renecinfra.kubernetes.catalogue import Release, Rendering
from renecinfra.kubernetes.charts import THIRD_PARTY
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.packages import Packages
from renecinfra.kubernetes.releases import ReleasesPlan, Settings
from renecinfra.profiles.loading import load
from renecinfra.rendering import Bundle, RenderedFile, Renderer, write
from renecinfra.reporting import SilentReporter
from renecinfra.workspace import Workspace
from tests.cluster import api, charts

ROOT = Path(__file__).parents[3]
SETTINGS = Settings(timeout=12, keep=5, description="a test")
KEDA = Release("keda", "keda", THIRD_PARTY["keda"], "helm/keda.yaml")
pytestmark = [pytest.mark.integration, pytest.mark.slow]


def application(*overrides: str) -> tuple[Release, Bundle]:
    small = ("workloads.api.replicas=1", "edge.replicas=1", "workloads.worker.replicas=1")
    profile = load(Workspace(ROOT), "onprem", [*small, *overrides], environ={}).profile
    rendering = Rendering(Renderer(ROOT / "templates"), ROOT, in_cluster())
    release = catalogue.releases(profile, ROOT / "templates")[-1]
    files = catalogue.bundle(profile, rendering)
    return release, {release.values: files[release.values]}


def third_party(**values: object) -> tuple[Release, Bundle]:
    return KEDA, {KEDA.values: RenderedFile(yaml.safe_dump(values))}


@pytest.fixture(autouse=True)
def mirror(newest_tools: Path, tmp_path: Path) -> Path:
    place = tmp_path / "mirror"
    charts.package(newest_tools / "helm", KEDA.chart, {}, place, definition="one")
    return place


def bring(cluster: Cluster, packages: Packages, wanted: tuple[Release, Bundle], place: Path) -> ReleasesPlan:
    release, bundle = wanted
    planned = releases.plan(cluster, packages, [release], bundle)
    write(bundle, place)
    releases.apply(cluster, planned, place, settings=SETTINGS, reporter=SilentReporter())
    return planned


def status(cluster: Cluster, release: Release) -> tuple[int, str]:
    one = installed.installed(cluster)[release.namespace, release.name]
    return one.revision, one.status


@pytest.mark.parametrize("which", ["application", "third-party"])
def test_install_nothing_change_and_uninstall(
    cluster: Cluster, packages: Packages, server: api.FakeApi, tmp_path: Path, which: str
) -> None:
    mine = which == "application"
    first = application() if mine else third_party()
    release = first[0]
    planned = bring(cluster, packages, first, tmp_path / "build")
    assert [one.action for one in planned.releases] == ["install"]
    assert status(cluster, release) == (1, "deployed")

    again = releases.plan(cluster, packages, *([release], first[1]))
    assert again.empty, again.document()

    second = application("workloads.ui.resources.cpu_limit=900m") if mine else third_party(size=2)
    changed = bring(cluster, packages, second, tmp_path / "build")
    (one,) = changed.pending
    name = "renec-ui-blue" if mine else "keda"
    assert [change.object for change in one.changes] == [f"Deployment {release.namespace}/{name}"]
    assert ("900m" if mine else "replicas: 2") in one.changes[0].diff
    assert status(cluster, release) == (2, "deployed")

    cluster.change(cluster.helm.uninstall(release.name, release.namespace, timeout=10))
    assert installed.installed(cluster) == {}
    assert not server.names("Deployment", release.namespace)


@pytest.mark.parametrize("which", ["application", "third-party"])
def test_a_rollout_that_fails_is_rolled_back_and_explained(
    cluster: Cluster, packages: Packages, server: api.FakeApi, tmp_path: Path, which: str
) -> None:
    mine = which == "application"
    first = application() if mine else third_party()
    bring(cluster, packages, first, tmp_path / "build")
    broken = (
        application("workloads.ui.image=registry.example.org/missing/ui:2")
        if mine
        else third_party(tag="example.org/missing:2")
    )
    with pytest.raises(ClusterError) as caught:
        bring(cluster, packages, broken, tmp_path / "build")
    assert caught.value.id == "image-pull"
    assert caught.value.exit_code == 7
    assert "push" in (caught.value.hint or "")
    assert status(cluster, first[0]) == (3, "deployed")
    name = "renec-ui-blue" if mine else "keda"
    found = server.find("Deployment", name, first[0].namespace)
    assert "missing" not in found["spec"]["template"]["spec"]["containers"][0]["image"]


def test_migrations_that_fail_stop_the_rollout(
    new_cluster: Cluster, server: api.FakeApi, tmp_path: Path
) -> None:
    packages = Packages(new_cluster, tmp_path, tmp_path / "charts")
    first = application()
    bring(new_cluster, packages, first, tmp_path / "build")
    before = server.find("Deployment", "renec-api-blue")["metadata"]["generation"]
    changed = application(
        "workloads.migrations.image=registry.example.org/crash/api:2",
        "workloads.api.image=registry.example.org/renec/api:2",
    )
    with pytest.raises(ClusterError) as caught:
        bring(new_cluster, packages, changed, tmp_path / "build")
    assert caught.value.id == "migrations-failed"
    assert server.find("Deployment", "renec-api-blue")["metadata"]["generation"] == before


def test_what_only_hooks_use_is_a_change(new_cluster: Cluster, tmp_path: Path) -> None:
    packages = Packages(new_cluster, tmp_path, tmp_path / "charts")
    bring(new_cluster, packages, application(), tmp_path / "build")
    release, bundle = application("workloads.migrations.image=registry.example.org/renec/api:1.5.0")
    (one,) = releases.plan(new_cluster, packages, [release], bundle).pending
    assert (one.changes, one.reason) == ((), "values differ")


def test_secrets_are_hidden_and_random_is_no_change(
    cluster: Cluster, packages: Packages, tmp_path: Path
) -> None:
    bring(cluster, packages, third_party(), tmp_path / "build")
    release, bundle = third_party(fixed="an0ther-value")
    (one,) = releases.plan(cluster, packages, [release], bundle).pending
    (change,) = one.changes
    assert change.object == "Secret keda/keda-webhook"
    assert "+  fixed: (hidden, new)" in change.diff
    assert "key: (hidden)" in change.diff
    import base64

    for value in (b"an0ther-value", b"f1xed-value-of-a-secret"):
        assert base64.b64encode(value).decode() not in change.diff


def test_definitions_are_upgraded(
    new_cluster: Cluster, server: api.FakeApi, tmp_path: Path, newest_tools: Path, mirror: Path
) -> None:
    packages = Packages(new_cluster, tmp_path, tmp_path / "charts", str(mirror))
    bring(new_cluster, packages, third_party(), tmp_path / "build")
    charts.package(newest_tools / "helm", KEDA.chart, {}, mirror, definition="two")
    bring(new_cluster, packages, third_party(size=2), tmp_path / "build")
    found = server.find("CustomResourceDefinition", "things.example.org", None)
    assert found["metadata"]["annotations"]["of"] == "two"


def test_unknown_values_are_reported(new_cluster: Cluster, tmp_path: Path, mirror: Path) -> None:
    packages = Packages(new_cluster, tmp_path, tmp_path / "charts", str(mirror))
    release, bundle = third_party(size=2, sizes=3)
    (one,) = releases.plan(new_cluster, packages, [release], bundle).releases
    assert one.unknown == ("sizes",)


@pytest.mark.parametrize("revisions", [0, 1])
def test_killed_in_the_middle_is_explained_and_repaired(
    cluster: Cluster, packages: Packages, server: api.FakeApi, tmp_path: Path, revisions: int
) -> None:
    release, bundle = third_party()
    if revisions:
        bring(cluster, packages, (release, bundle), tmp_path / "build")
    server.ready_seconds = 30
    write(third_party(size=3)[1], tmp_path / "build")
    argv = cluster.helm.upgrade(
        release.name,
        packages.get(release.chart),
        release.namespace,
        tmp_path / "build" / release.values,
        timeout=60,
        keep=5,
        description="to be killed",
    )
    helm = subprocess.Popen(argv, env=cluster.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: status_or_none(cluster, release) in ("pending-install", "pending-upgrade"))
    finally:
        helm.send_signal(signal.SIGKILL)
        helm.wait(10)
    server.ready_seconds = 0.1

    planned = releases.plan(cluster, packages, [release], third_party(size=2)[1])
    (one,) = planned.pending
    assert one.repair is not None
    assert one.repair.revision == revisions
    assert "was killed while it worked" in one.repair.text
    write(third_party(size=2)[1], tmp_path / "build")
    releases.apply(cluster, planned, tmp_path / "build", settings=SETTINGS, reporter=SilentReporter())
    assert status(cluster, release)[1] == "deployed"
    assert server.find("Deployment", "keda", "keda")["spec"]["replicas"] == 2


_INTERRUPTED = """\
import sys
from tests.integration.cluster.interrupted import main
sys.exit(main(sys.argv[1:]))
"""


def test_interrupted_in_the_middle_it_goes_back(
    cluster: Cluster, packages: Packages, server: api.FakeApi, tmp_path: Path, tools_directory: Path
) -> None:
    release, bundle = third_party()
    bring(cluster, packages, (release, bundle), tmp_path / "build")
    server.ready_seconds = 5
    write(third_party(size=3, tag="example.org/sick:2")[1], tmp_path / "build")
    assert cluster.environ is not None
    environ = {**os.environ, **cluster.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", _INTERRUPTED, str(tools_directory), str(tmp_path)]
    ours = subprocess.Popen(argv, env=environ, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_for(lambda: ours.poll() is not None or status_or_none(cluster, release) == "pending-upgrade")
        server.ready_seconds = 0.1
        ours.send_signal(signal.SIGINT)
        _, errors = ours.communicate(timeout=60)
    finally:
        ours.kill()
    assert ours.returncode == 130, errors
    assert status(cluster, release)[1] == "deployed"
    assert server.find("Deployment", "keda", "keda")["spec"]["replicas"] == 1


def status_or_none(cluster: Cluster, release: Release) -> str | None:
    one = installed.installed(cluster).get((release.namespace, release.name))
    return one.status if one else None


def wait_for(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        threading.Event().wait(0.1)
