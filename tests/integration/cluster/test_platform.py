"""The commands over an environment on a cluster, with real helm and kubectl, by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from renecinfra import cli
from renecinfra.kubernetes import catalogue
from renecinfra.kubernetes.backends import in_cluster
from renecinfra.kubernetes.catalogue import Rendering
from renecinfra.profiles.loading import load
from renecinfra.profiles.policy.secrets import references
from renecinfra.provision.kubernetes.session import ClusterSession
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.workspace import Workspace
from tests.cluster import api, charts
from tests.cluster.api import Refusal
from tests.integration.cluster.conftest import CONTEXT, environ_of

ROOT = Path(__file__).parents[3]
SMALL: dict[str, Any] = {
    "extends": "onprem",
    "environment": "site",
    "description": "Small",
    "workloads": {"api": {"replicas": 1, "replicas_max": 2}, "worker": {"replicas": 1}},
    "edge": {"replicas": 1},
    "releases": {"mirror": "mirror", "timeout": "20s", "logging": False, "tracing": False},
    "protection": {"protected": False},
    "terraform": {"backend": {"bucket": "renec-site"}},
}
DIGEST = "sha256:" + "a" * 64
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def workspace(
    tmp_path: Path, newest_tools: Path, server: api.FakeApi, monkeypatch: pytest.MonkeyPatch
) -> Path:
    root = tmp_path / "workspace"
    (root / "environments").mkdir(parents=True)
    for name in ("base", "onprem"):
        text = (ROOT / "environments" / f"{name}.yaml").read_text()
        (root / "environments" / f"{name}.yaml").write_text(text)
    (root / "environments" / "site.yaml").write_text(yaml.safe_dump(SMALL))
    (root / "templates").symlink_to(ROOT / "templates")
    api.kubeconfig(tmp_path / "kubeconfig", server.port, CONTEXT)
    for name, value in environ_of(newest_tools, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RENECINFRA_WORKSPACE", str(root))
    monkeypatch.setattr(ClusterSession, "secrets", _secrets)
    _mirror(root, newest_tools)
    server.refusals.clear()
    server.put("v1", "services", "kube-system", _balanced())
    return root


def _secrets(session: ClusterSession) -> dict[str, SecretVersion]:
    wanted = references(session.profile).values()
    return {one: SecretVersion(Secret(f"s3cret value of {one}"), 1) for one in wanted}


def _balanced() -> dict[str, Any]:
    """Another Service that has an address: something gives them."""
    return {"metadata": {"name": "ingress"}, "spec": {"type": "LoadBalancer", "selector": {}}}


def _mirror(root: Path, tools: Path) -> None:
    profile = load(Workspace(root), "site", [], environ={}).profile
    files = catalogue.bundle(profile, Rendering(Renderer(ROOT / "templates"), root, in_cluster()))
    for name in catalogue.third_party(profile):
        values = yaml.safe_load(files[f"helm/{name}.yaml"].text) or {}
        charts.package(tools / "helm", charts.THIRD_PARTY[name], values, root / "mirror")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = cli._run([*arguments, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def test_up_again_change_status_and_down(
    workspace: Path, server: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    code, done, _ = run(capsys, "up", "site", "--yes")
    assert code == 0, done
    assert done["changed"]
    names = [one["name"] for one in done["plan"]["releases"]]
    assert names[-3:] == ["renec-secrets", "renec-data", "renec"]
    assert names.index("cert-manager") < names.index("plugin-barman-cloud") < names.index("renec-data")
    labels = server.find("Namespace", "renec", None)["metadata"]["labels"]
    assert labels["renec.io/environment"] == "site"
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

    code, planned, _ = run(capsys, "plan", "site", "--detailed-exitcode")
    assert (code, planned["changes"]) == (0, False)

    code, seen, _ = run(capsys, "status", "site")
    assert (code, seen["problems"]) == (0, [])
    assert seen["database"].startswith("2 of 2 instances")
    assert "expires in" in seen["certificates"]["renec-edge"]
    assert seen["scaling"]["renec-api-blue"] == "1 of 1 to 2"

    overrides = ("--set", "workloads.ui.resources.cpu_limit=900m")
    code, planned, _ = run(capsys, "plan", "site", "--detailed-exitcode", *overrides)
    assert code == 2
    (changed,) = [one for one in planned["releases"] if one["action"] != "unchanged"]
    assert [one["object"] for one in changed["objects"]] == ["Deployment renec/renec-ui-blue"]
    schema = Path(__file__).parents[3] / "docs" / "reference" / "schemas" / "plan.json"
    jsonschema.validate(planned, json.loads(schema.read_text(encoding="utf-8")))
    assert [(one["address"], one["grade"]) for one in planned["graded"]] == [
        ("renec: Deployment renec/renec-ui-blue", "caution")
    ]

    claim = {"metadata": {"name": "data-1"}, "spec": {"resources": {"requests": {"storage": "50Gi"}}}}
    server.put("v1", "persistentvolumeclaims", "renec", claim)
    code, done, _ = run(capsys, "down", "site", "--yes", "--keep-data")
    assert code == 0, done
    assert done["removed"] == ["renec", "renec-data", "renec-secrets"]
    assert server.names("PersistentVolumeClaim") == {"data-1"}
    code, done, _ = run(capsys, "down", "site", "--yes")
    assert code == 0, done
    assert done["data_deleted"] == {"renec/data-1": "50Gi"}
    assert "keda" not in done["removed"]
    assert not server.names("PersistentVolumeClaim")
    assert not server.names("Cluster")


FORBIDDEN = 'secrets is forbidden: User "operator" cannot list resource "secrets" in API group ""'


@pytest.mark.parametrize(
    ("fault", "id_", "words"),
    [
        (Refusal(401, "Unauthorized", "Unauthorized"), "cluster-credentials", "log in"),
        (Refusal(403, "Forbidden", FORBIDDEN, path="secrets"), "cluster-forbidden", "list"),
    ],
)
def test_what_the_cluster_refuses_is_explained(
    workspace: Path,
    server: api.FakeApi,
    capsys: pytest.CaptureFixture[str],
    fault: Refusal,
    id_: str,
    words: str,
) -> None:
    server.refusals.append(fault)
    code, done, _ = run(capsys, "plan", "site")
    assert (code, done["error"]["id"]) == (7, id_)
    assert words in done["error"]["hint"]


@pytest.mark.parametrize(
    ("override", "id_"),
    [
        ("platform.context=nowhere", "cluster-context"),
        ("platform.context=elsewhere", "cluster-unreachable"),
        ("platform.storage_class=fast", "cluster-unfit"),
        ('platform.version_min="1.36"', "cluster-unfit"),
        ("platform.nodes_min=5", "cluster-unfit"),
    ],
)
def test_an_unfit_cluster_is_refused(
    workspace: Path, capsys: pytest.CaptureFixture[str], override: str, id_: str
) -> None:
    code, done, _ = run(capsys, "up", "site", "--yes", "--set", override)
    assert (code, done["error"]["id"]) == (7, id_), done
    assert done["error"]["hint"]


def test_a_missing_right_and_another_environments_namespace(
    workspace: Path, server: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    server.denied.add(("create", "networkpolicies"))
    whose = {"name": "renec", "labels": {"renec.io/environment": "other"}}
    server.put("v1", "namespaces", None, {"metadata": whose})
    code, done, _ = run(capsys, "up", "site", "--yes")
    assert (code, done["error"]["id"]) == (7, "cluster-unfit")
    told = " ".join((done["error"]["message"], *done["error"]["details"]))
    assert "renec is of the environment other" in told
    assert "not allowed: create networkpolicies.networking.k8s.io" in told


@pytest.mark.parametrize(
    ("image", "id_"),
    [
        ("huge", "unschedulable"),
        pytest.param("crash", "crash", marks=pytest.mark.slow),
        pytest.param("sick", "not-ready", marks=pytest.mark.slow),
    ],
)
def test_what_keeps_pods_from_running_is_explained(
    workspace: Path, server: api.FakeApi, capsys: pytest.CaptureFixture[str], image: str, id_: str
) -> None:
    overrides = (
        "--set",
        f"workloads.ui.image=registry.example.org/{image}/ui:2",
        "--set",
        "releases.timeout=4s",
    )
    code, done, _ = run(capsys, "up", "site", "--yes", *overrides)
    assert (code, done["error"]["id"]) == (7, id_)
    assert done["error"]["hint"]


def test_a_protected_environment_is_not_deleted_by_yes(
    workspace: Path, server: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace / "environments" / "site.yaml"
    protected = {"protected": True}
    path.write_text(yaml.safe_dump({**SMALL, "protection": protected}))
    claim = {"metadata": {"name": "data-1"}, "spec": {"resources": {"requests": {"storage": "50Gi"}}}}
    server.put("v1", "persistentvolumeclaims", "renec", claim)
    code, done, _ = run(capsys, "down", "site", "--yes")
    assert (code, done["error"]["id"]) == (1, "protected")
    assert server.names("PersistentVolumeClaim") == {"data-1"}
