"""The releases of an environment on AWS, as its stack's outputs make them, against the small API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from renecinfra.errors import ClusterError
from renecinfra.kubernetes import catalogue
from renecinfra.platforms.helm_releases import HelmReleases
from renecinfra.profiles.loading import load
from renecinfra.profiles.model import Profile
from renecinfra.profiles.policy.secrets import references
from renecinfra.reporting import Reporter, SilentReporter
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.workspace import Workspace
from tests.cluster import api, controllers
from tests.integration.cluster.conftest import environ_of

ROOT = Path(__file__).parents[3]
OUTPUTS: dict[str, Any] = {
    "cluster": {"name": "renec-prod", "volume_key_arn": "arn:aws:kms:us-east-1:123456789012:key/data"},
    "database": {"address": "db.example.org"},
    "cache": {"addresses": {"broker": "broker.example.org", "cache": "cache.example.org"}},
    "edge": {"target_group_arn": "arn:aws:x", "target_port": 8443, "network_cidr": "10.40.0.0/16"},
}
pytestmark = [pytest.mark.integration, pytest.mark.timeout(200)]


@dataclass
class Given:
    profile: Profile
    outputs: dict[str, Any]
    secrets: dict[str, SecretVersion]
    kubeconfig: Path
    reporter: Reporter
    administrator: Anybody


class Anybody:
    """An administrator whose password is asked for as seldom as can be."""

    of = "db-ONE"

    def __init__(self) -> None:
        self.asked = 0

    def login(self) -> tuple[str, Secret]:
        self.asked += 1
        return "renec_admin", Secret("an-administrators-canary")


@pytest.fixture
def given(tmp_path: Path, newest_tools: Path, server: api.FakeApi, monkeypatch: pytest.MonkeyPatch) -> Given:
    for name, value in environ_of(newest_tools, tmp_path).items():
        monkeypatch.setenv(name, value)
    document = yaml.safe_load(api.kubeconfig(tmp_path / "all", server.port, "arn").read_text())
    document["contexts"] = document["contexts"][:1]
    path = tmp_path / "one"
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o600)
    everything = ["kube-prometheus-stack", "cert-manager", "external-secrets", "eck-operator", "eck-stack"]
    everything += ["jaeger", "opentelemetry-collector", "aws-load-balancer-controller", "cluster-autoscaler"]
    overrides = [f"releases.provided={yaml.safe_dump(everything, default_flow_style=True)}"]
    overrides += ["workloads.api.replicas=1", "workloads.worker.replicas=1", "releases.timeout=30s"]
    profile = load(Workspace(ROOT), "prod", overrides, environ={}).profile
    secrets = {one: SecretVersion(Secret(f"value of {one}"), 1) for one in references(profile).values()}
    return Given(profile, OUTPUTS, secrets, path, SilentReporter(), Anybody())


def workspace_of(tmp_path: Path) -> Workspace:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "environments").mkdir()
    (root / "templates").symlink_to(ROOT / "templates")
    return Workspace(root)


def test_the_releases_come_and_go(
    given: Given, server: api.FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helm = HelmReleases(workspace_of(tmp_path))
    helm.apply(given)
    assert helm.planned(given)[2].empty
    configuration = server.find("ConfigMap", "renec-pooler")["data"]["pgbouncer.ini"]
    assert "host=db.example.org" in configuration
    assert server.find("TargetGroupBinding", "renec-edge")["spec"]["targetGroupARN"] == "arn:aws:x"
    assert given.administrator.asked == 1
    mark = server.find("ConfigMap", "renec-database-login")["data"]["mark"]
    assert "renec-database-login" not in server.names("Secret") | server.names("Job")
    assert "renec-database-login" not in server.names("NetworkPolicy")
    everything = json.dumps([one for key, one in server.objects.items() if key[1] != "secrets"])
    assert "an-administrators-canary" not in everything
    helm.apply(given)
    assert given.administrator.asked == 1, "nothing has changed"

    # Another instance under the same name, as after a restore; and a database that refuses.
    given.administrator.of = "db-TWO"
    with monkeypatch.context() as patch:
        patch.setitem(controllers.SAID, "database-login", "psql: error: password authentication failed")
        with pytest.raises(ClusterError, match="password authentication failed") as caught:
            helm.apply(given)
        assert caught.value.id == "database-login"
    assert server.find("ConfigMap", "renec-database-login")["data"]["mark"] == mark
    helm.apply(given)
    assert server.find("ConfigMap", "renec-database-login")["data"]["mark"] != mark
    helm.remove(given)
    assert not server.names("Deployment")


def test_another_port_of_the_load_balancer_is_refused(given: Given, tmp_path: Path) -> None:
    given.outputs = {**OUTPUTS, "edge": {**OUTPUTS["edge"], "target_port": 9443}}
    with pytest.raises(ClusterError) as caught:
        HelmReleases(workspace_of(tmp_path)).planned(given)
    assert caught.value.id == "edge-port"


def test_its_order_begins_with_what_registers_the_edge() -> None:
    profile = load(Workspace(ROOT), "prod", [], environ={}).profile
    names = [one.name for one in HelmReleases(Workspace(ROOT)).releases(profile)]
    assert names.index("aws-load-balancer-controller") < names.index("renec")
    assert set(names) >= set(catalogue.third_party(profile))
