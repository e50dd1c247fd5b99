"""Real helm and kubectl against a small Kubernetes API."""

from __future__ import annotations

import functools
import os
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.packages import Packages
from renecinfra.kubernetes.tools import Target, Tools, find_tools
from tests.cluster import api

ROOT = Path(__file__).parents[3]
CONTEXT = "renec-onprem"


@functools.cache
def directory_of(helm: str) -> Path:
    """Where helm of a major version is, with its kubectl."""
    get = runpy.run_path(str(ROOT / "tools" / "cluster_tools.py"))["directory"]
    try:
        found: Path = get(helm)
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no helm: {error}")
    return found


@pytest.fixture(
    scope="session",
    params=[pytest.param("3", id="helm3", marks=pytest.mark.slow), pytest.param("4", id="helm4")],
)
def tools_directory(request: pytest.FixtureRequest) -> Path:
    return directory_of(request.param)


@pytest.fixture(scope="session")
def newest_tools() -> Path:
    return directory_of("4")


@pytest.fixture
def server() -> Iterator[api.FakeApi]:
    fake = api.FakeApi()
    running = api.serve(fake)
    fake.port = running.server_port
    yield fake
    running.shutdown()
    running.server_close()


@pytest.fixture
def cluster(server: api.FakeApi, tools_directory: Path, tmp_path: Path) -> Cluster:
    return make_cluster(server, tools_directory, tmp_path)


@pytest.fixture
def new_cluster(server: api.FakeApi, newest_tools: Path, tmp_path: Path) -> Cluster:
    """With Helm 4 only, where two would tell nothing more."""
    return make_cluster(server, newest_tools, tmp_path)


def environ_of(directory: Path, tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    kubeconfig = str(tmp_path / "kubeconfig")
    return {"PATH": f"{directory}:/usr/bin:/bin", "HOME": str(home), "KUBECONFIG": kubeconfig}


def make_cluster(server: api.FakeApi, directory: Path, tmp_path: Path) -> Cluster:
    api.kubeconfig(tmp_path / "kubeconfig", server.port, CONTEXT)
    environ = environ_of(directory, tmp_path)
    return Cluster(tools_of(directory), Target(CONTEXT), environ)


@functools.cache
def tools_of(directory: Path) -> Tools:
    return find_tools({"PATH": str(directory)})


@pytest.fixture
def packages(cluster: Cluster, tmp_path: Path) -> Packages:
    return Packages(cluster, tmp_path, tmp_path / "charts", str(tmp_path / "mirror"))
