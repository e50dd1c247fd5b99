"""The commands over an environment on a cluster, with real helm and kubectl, by the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
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
from renecinfra.provision import approving
from renecinfra.provision.kubernetes import restoring
from renecinfra.provision.kubernetes.session import ClusterSession
from renecinfra.provision.opening import open_platform
from renecinfra.rendering import Renderer
from renecinfra.reporting import SilentReporter
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.workspace import Workspace
from tests.cluster import api, charts, controllers
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
    "backups": {"assertions": {"has-standards": "SELECT count(*) > 0 FROM standards"}},
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

    # Another machine sees who did what: the run is kept in the cluster.
    Workspace(workspace).paths("site").journal.unlink()
    code, told, _ = run(capsys, "history", "site")
    assert [(one["command"], one["result"]) for one in told["runs"]] == [("up", "ok")]

    code, seen, _ = run(capsys, "status", "site")
    assert (code, seen["problems"]) == (0, [])
    assert seen["database"].startswith("2 of 2 instances")
    assert "expires in" in seen["certificates"]["renec-edge"]
    assert seen["scaling"]["renec-api-blue"] == "1 of 1 to 2"

    code, drifted, _ = run(capsys, "drift", "site")
    assert [(i["address"], i["seen"]) for i in drifted["items"]] == [], (
        "what the cluster writes in its own way is no drift"
    )
    with server.lock:
        deployment = server.objects["apps/v1", "deployments", "renec", "renec-ui-blue"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        image, container["image"] = container["image"], "somebody/else@sha256:1"
        account = server.objects.pop(("v1", "serviceaccounts", "renec", "renec-ui"))
    code, drifted, _ = run(capsys, "drift", "site")
    assert code == 2
    assert [(one["layer"], one["address"], one["seen"]) for one in drifted["items"]] == [
        ("object", "renec: ServiceAccount/renec-ui", "is gone"),
        ("object", "renec: Deployment/renec-ui-blue", "differs in spec.template.spec.containers[ui].image"),
    ]
    schema = Path(__file__).parents[3] / "docs" / "reference" / "schemas" / "drift.json"
    jsonschema.validate(drifted, json.loads(schema.read_text(encoding="utf-8")))
    with server.lock:
        container["image"] = image
        server.objects["v1", "serviceaccounts", "renec", "renec-ui"] = account

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


Settled = Callable[[str, dict[str, Any]], dict[str, Any] | None]
STORE = ("barmancloud.cnpg.io/v1", "objectstores", "renec", "renec-postgresql")


def backed_up(server: api.FakeApi, name: str) -> None:
    """What the plugin says when there is a backup; the fake has neither plugin nor bucket."""
    with server.lock:
        window = server.objects[STORE].setdefault("status", {}).setdefault("serverRecoveryWindow", {})
        window[name] = {"firstRecoverabilityPoint": "2026-11-20T01:30:00Z"}


def unrecoverable(settled: Settled) -> Settled:
    """As the operator answers when a recovery fails; everything else settles as ever."""

    def failing(kind: str, one: dict[str, Any]) -> dict[str, Any] | None:
        if kind == "Cluster" and "recovery" in one["spec"]["bootstrap"]:
            return {"readyInstances": 0, "phase": "Cluster is unrecoverable and needs manual intervention"}
        return settled(kind, one)

    return failing


def cluster_of(server: api.FakeApi, name: str) -> dict[str, Any]:
    return server.find("Cluster", name, "renec")


def test_restore_undo_and_finish(
    workspace: Path, server: api.FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, done, _ = run(capsys, "up", "site", "--yes")
    assert code == 0, done
    moment = ("--to", "2026-11-24 10:31:00 UTC")

    code, told, _ = run(capsys, "restore", "site", *moment, "--yes")
    assert (code, told["error"]["id"]) == (9, "restore-no-backup")
    assert run(capsys, "backup", "site", "list")[0] == 1
    backed_up(server, "site")
    code, listed, _ = run(capsys, "backup", "site", "list")
    assert (code, listed["first"]) == (0, "2026-11-20T01:30:00+00:00")
    for words, error in (
        (("--to", "2026-11-01 10:31:00 UTC"), "restore-target-before"),
        (("--to", "2099-11-01 10:31:00 UTC"), "restore-target-future"),
        (("--backup", "no-such-backup"), "restore-no-backup"),
        (("--latest", "--table", "t"), "cluster-unsupported"),
        (("--undo",), "restore-none"),
        (("--finish",), "restore-none"),
        (("--abort",), "restore-none"),
        (("--resume",), "restore-none"),
    ):
        code, told, _ = run(capsys, "restore", "site", *words, "--yes")
        assert told["error"]["id"] == error, told
    assert server.names("Cluster") == {"renec-postgresql"}

    code, planned, _ = run(capsys, "restore", "site", *moment, "--dry-run")
    assert (code, planned["recovery"]) == (0, {"targetTime": "2026-11-24T10:31:00+00:00"})
    with monkeypatch.context() as patch:
        patch.setitem(controllers.SAID, "restore-check", "version\t16.4\nrecovery\tf\ncontents\t3|0\n0\tf\n")
        code, told, _ = run(capsys, "restore", "site", *moment, "--yes")
    assert (code, told["error"]["id"]) == (9, "restore-check-failed")
    assert "has-standards: gives f and not true" in told["error"]["message"]
    assert server.find("Pooler", "renec-pooler", "renec")["spec"]["cluster"]["name"] == "renec-postgresql"
    assert run(capsys, "restore", "site", "--abort", "--yes")[0] == 0
    code, done, _ = run(capsys, "restore", "site", *moment, "--yes")
    assert code == 0, done
    new = done["serves"]
    seen = {one["name"]: one["detail"] for one in done["findings"]}
    assert (seen["rows"], seen["has-standards"]) == ("120 rows in 3 tables", "holds")
    assert not [name for name in server.names("Job") if name.endswith("-check")]
    assert done["kept"] == "renec-postgresql"
    assert server.names("Cluster") == {"renec-postgresql", new}
    spec = cluster_of(server, new)["spec"]
    assert spec["bootstrap"]["recovery"]["recoveryTarget"] == {"targetTime": "2026-11-24T10:31:00+00:00"}
    (origin,) = spec["externalClusters"]
    assert origin["plugin"]["parameters"]["serverName"] == "site"
    assert spec["plugins"][0]["parameters"]["serverName"] == f"site-{new.removeprefix('renec-postgresql-')}"
    assert server.find("Pooler", "renec-pooler", "renec")["spec"]["cluster"]["name"] == new
    assert server.find("ScheduledBackup", "renec-postgresql", "renec")["spec"]["cluster"]["name"] == new
    old = cluster_of(server, "renec-postgresql")["metadata"]
    assert old["annotations"]["cnpg.io/fencedInstances"] == '["*"]', "it takes no more writes"
    assert server.find("Backup", done["backup"], "renec")["spec"]["cluster"]["name"] == new
    policy = server.find("NetworkPolicy", "renec-postgresql", "renec")["spec"]["podSelector"]
    assert set(policy["matchExpressions"][0]["values"]) == {"renec-postgresql", new}

    # What was restored is what is now, for every other command, too.
    code, again, _ = run(capsys, "plan", "site", "--detailed-exitcode")
    assert (code, again["changes"]) == (0, False)
    code, seen, _ = run(capsys, "status", "site")
    assert (code, seen["problems"]) == (0, [])
    assert f"primary {new}-1" in seen["database"]
    code, told, _ = run(capsys, "restore", "site", "--latest", "--yes")
    assert (code, told["error"]["id"]) == (9, "restore-kept")

    code, done, _ = run(capsys, "restore", "site", "--undo", "--yes")
    assert (code, done["serves"], done["kept"]) == (0, "renec-postgresql", new)
    assert server.find("Pooler", "renec-pooler", "renec")["spec"]["cluster"]["name"] == "renec-postgresql"
    old = cluster_of(server, "renec-postgresql")["metadata"]
    assert "cnpg.io/fencedInstances" not in old["annotations"]
    assert "cnpg.io/fencedInstances" in cluster_of(server, new)["metadata"]["annotations"]
    code, done, _ = run(capsys, "restore", "site", "--finish", "--yes")
    assert (code, done["serves"], done["kept"]) == (0, "renec-postgresql", None)
    assert server.names("Cluster") == {"renec-postgresql"}


def test_a_recovery_that_fails_leaves_what_serves_alone_and_is_aborted(
    workspace: Path, server: api.FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, done, _ = run(capsys, "up", "site", "--yes")
    assert code == 0, done
    backed_up(server, "site")
    with monkeypatch.context() as patch:
        patch.setattr(controllers, "settled", unrecoverable(controllers.settled))
        code, told, _ = run(capsys, "restore", "site", "--latest", "--yes")
    assert told["error"]["id"] == "restore-recovery"
    assert "--abort" in told["error"]["hint"]
    assert server.find("Pooler", "renec-pooler", "renec")["spec"]["cluster"]["name"] == "renec-postgresql"
    assert "cnpg.io/fencedInstances" not in cluster_of(server, "renec-postgresql")["metadata"]["annotations"]
    code, told, _ = run(capsys, "restore", "site", "--latest", "--yes")
    assert told["error"]["id"] == "restore-unfinished"
    # On another machine, whose directory knows nothing of it.
    shutil.rmtree(workspace / ".renecinfra" / "site")
    code, done, _ = run(capsys, "restore", "site", "--abort", "--yes")
    assert (code, done["serves"], done["kept"]) == (0, "renec-postgresql", None)
    assert server.names("Cluster") == {"renec-postgresql"}
    code, again, _ = run(capsys, "plan", "site", "--detailed-exitcode")
    assert (code, again["changes"]) == (0, False)


def test_a_restore_that_was_cut_off_goes_on(
    workspace: Path, server: api.FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, done, _ = run(capsys, "up", "site", "--yes")
    assert code == 0, done
    backed_up(server, "site")

    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Died

    for place, name in ((restoring, "check"), (restoring, "take")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, die)
            with pytest.raises(Died):
                words = ("--latest",) if name == "check" else ("--resume",)
                run(capsys, "restore", "site", *words, "--yes")
    code, done, _ = run(capsys, "restore", "site", "--resume", "--yes")
    assert code == 0, done
    assert done["kept"] == "renec-postgresql"
    assert server.find("Pooler", "renec-pooler", "renec")["spec"]["cluster"]["name"] == done["serves"]


def test_a_drill_recovers_beside_and_leaves_nothing(
    workspace: Path, server: api.FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, done, _ = run(capsys, "up", "site", "--yes")
    assert code == 0, done
    code, told, _ = run(capsys, "drill", "site")
    assert (code, told["error"]["id"]) == (9, "restore-no-backup")
    session = open_platform(Workspace(workspace), "site", SilentReporter())
    assert approving.backup_age(session) is None
    backed_up(server, "site")
    done = {"phase": "completed", "backupId": "20261120T013000", "stoppedAt": "2026-11-20T01:31:00Z"}
    of = {"cluster": {"name": "renec-postgresql"}}
    server.put(
        "postgresql.cnpg.io/v1", "backups", "renec", {"metadata": {"name": "b"}, "spec": of, "status": done}
    )
    age = approving.backup_age(session)
    assert age is not None
    assert age > timedelta(0)
    code, done, _ = run(capsys, "drill", "site")
    assert code == 0, done
    assert {one["name"]: one["ok"] for one in done["findings"]}["RTO"] is True
    record = server.find("PrometheusRule", "renec-drill", "renec")["spec"]["groups"][0]["rules"]
    assert record[0]["record"] == "renec_drill_success_timestamp_seconds"
    assert server.names("Cluster") == {"renec-postgresql"}

    with monkeypatch.context() as patch:
        patch.setattr(controllers, "settled", unrecoverable(controllers.settled))
        code, told, _ = run(capsys, "drill", "site")
    assert told["error"]["id"] == "restore-recovery"
    assert server.names("Cluster") == {"renec-postgresql"}, "also what did not recover is gone"
    code, again, _ = run(capsys, "plan", "site", "--detailed-exitcode")
    assert (code, again["changes"]) == (0, False)
    assert server.find("Pooler", "renec-pooler", "renec")["spec"]["cluster"]["name"] == "renec-postgresql"
