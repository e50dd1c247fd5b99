"""Deployments, ways back and logs of an environment in AWS: its state in moto, its cluster the small API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from renecinfra import cli
from renecinfra.kubernetes import rollout
from renecinfra.platforms.helm_releases import HelmReleases
from renecinfra.platforms.releases import ReleaseContext
from renecinfra.provision.aws import contents, drilling, eks
from renecinfra.provision.aws.session import AwsSession
from tests.cluster import api, controllers
from tests.cluster.api import Refusal
from tests.integration.aws.conftest import (
    PASSWORD,
    Cloud,
    account,
    bao,
    cloud,
    forgotten_secrets,
    make_bootstrap,
    mirror,
    moto,
)
from tests.integration.aws.test_up import SETTINGS, STEPS, furnish, kill_at
from tests.integration.cluster.conftest import environ_of
from tests.integration.cluster.test_helm_releases import OUTPUTS
from tests.integration.cluster.test_platform import DIGEST, run

__all__ = ["account", "bao", "cloud", "forgotten_secrets", "make_bootstrap", "mirror", "moto"]
API = f"registry.example.org/renec/api@{DIGEST}"
PROVIDED = (
    "kube-prometheus-stack",
    "cert-manager",
    "external-secrets",
    "eck-operator",
    "eck-stack",
    "jaeger",
    "opentelemetry-collector",
    "aws-load-balancer-controller",
    "cluster-autoscaler",
    "keda",
)
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]


def type_of(value: Any) -> Any:
    """As Terraform's state writes it."""
    if isinstance(value, dict):
        return ["object", {name: type_of(one) for name, one in value.items()}]
    return "number" if isinstance(value, int) else "string"


@pytest.fixture
def small(cloud: Cloud, newest_tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The environment with as few pods and releases as it can have, and helm and kubectl for its cluster."""
    for name, value in environ_of(newest_tools, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RENECINFRA_WORKSPACE", str(cloud.workspace.root))
    path = cloud.workspace.root / "environments" / "cloud.yaml"
    written = yaml.safe_load(path.read_text())
    written |= {
        "releases": {"provided": list(PROVIDED), "timeout": "30s"},
        "workloads": {"api": {"replicas": 2, "replicas_max": 3}, "worker": {"replicas": 1}},
        "edge": {"replicas": 1},
        "protection": {"protected": False},
    }
    path.write_text(yaml.safe_dump(written))
    return cloud


@pytest.fixture
def session(small: Cloud, make_bootstrap: Any, server: api.FakeApi) -> AwsSession:
    """An environment whose stack was applied, as its state says."""
    cloud = small
    make_bootstrap(cloud)
    cluster = {
        **OUTPUTS["cluster"],
        "endpoint": f"http://127.0.0.1:{server.port}",
        "certificate_authority": "",
    }
    outputs = {**OUTPUTS, "cluster": cluster}
    state = {
        "version": 4,
        "serial": 1,
        "lineage": "a",
        "outputs": {name: {"value": value, "type": type_of(value)} for name, value in outputs.items()},
        "resources": [],
    }
    backend = cloud.profile().terraform.backend
    cloud.client("s3").put_object(Bucket=backend.bucket, Key=backend.key, Body=json.dumps(state).encode())
    return cloud.session()


@pytest.fixture
def serving(
    session: AwsSession, server: api.FakeApi, monkeypatch: pytest.MonkeyPatch
) -> Iterator[api.FakeApi]:
    with eks.opened(session) as opened:
        context = ReleaseContext(
            session.profile, opened.outputs, opened.secrets(), opened.kubeconfig, session.reporter
        )
        HelmReleases(session.workspace).apply(context)
    answer = json.dumps({"items": [{"ec_clave": "EC0001"}]})
    for name in ("renec-api", "renec-api-preview", "renec-ui", "renec-ui-preview"):
        server.services[f"renec/{name}"] = lambda _path: (200, answer)
    monkeypatch.setattr(rollout, "_SMOKE_SECONDS", 2.0)
    yield server


def image_of(server: api.FakeApi, name: str) -> str:
    found: str = server.find("Deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


def test_deploy_roll_back_and_read_logs(
    session: AwsSession, serving: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    before = image_of(serving, "renec-api-blue")
    code, done, _ = run(capsys, "deploy", "cloud", f"api={API}", "--bake", "0s", "--yes")
    assert code == 0, done
    assert done["images"]["api"] == {"before": before, "after": API}
    slot = serving.find("Service", "renec-api")["spec"]["selector"]["renec.io/slot"]
    assert image_of(serving, f"renec-api-{slot}") == API
    configuration = serving.find("ConfigMap", "renec-pooler")["data"]["pgbouncer.ini"]
    assert "host=db.example.org" in configuration, "the stack's outputs are in the values still"

    code, listed, _ = run(capsys, "revisions", "cloud")
    assert code == 0
    assert len(listed) >= 2
    code, done, _ = run(capsys, "rollback", "cloud", "--yes")
    assert code == 0, done
    assert image_of(serving, f"renec-api-{slot}") == before

    code, seen, _ = run(capsys, "status", "cloud")
    assert seen["cluster_skipped"] is None
    assert seen["cluster"]["problems"] == []
    assert {one["name"] for one in seen["cluster"]["workloads"]} >= {f"renec-api-{slot}", "renec-pooler"}
    assert cli._run(["status", "cloud"]) == code
    assert f"renec-api-{slot}" in capsys.readouterr().out

    code, told, _ = run(capsys, "history", "cloud")
    assert [one["command"] for one in told["runs"]] == ["rollback", "deploy"]
    assert cli._run(["logs", "cloud", "postgresql"]) == 64
    said = capsys.readouterr().err
    assert "workloads: edge, api" in said
    assert "postgresql" not in said.partition("workloads:")[2], "RDS has no pods"


def test_a_plan_has_the_releases_too(
    session: AwsSession, serving: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    code, planned, _ = run(capsys, "plan", "cloud")
    assert code == 0, planned
    assert {one["action"] for one in planned["releases"]} == {"unchanged"}
    assert planned["releases_skipped"] is None
    code, planned, _ = run(capsys, "plan", "cloud", "--set", "workloads.ui.resources.cpu_limit=900m")
    assert code == 0, planned
    changed = [one for one in planned["graded"] if one["layer"] == "release"]
    assert [(one["address"], one["grade"]) for one in changed] == [
        ("renec: Deployment renec/renec-ui-blue", "caution")
    ]
    schema = Path(__file__).parents[3] / "docs" / "reference" / "schemas" / "plan.json"
    jsonschema.validate(planned, json.loads(schema.read_text(encoding="utf-8")))

    serving.refusals.append(Refusal(401, "Unauthorized", "Unauthorized"))
    code, planned, _ = run(capsys, "plan", "cloud")
    assert (code, planned["releases"]) == (0, None)
    assert "credentials" in planned["releases_skipped"]


def test_what_was_restored_is_looked_into(
    session: AwsSession,
    small: Cloud,
    serving: api.FakeApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small.client("rds").create_db_instance(
        DBInstanceIdentifier="renec-cloud-restored-1",
        Engine="postgres",
        DBInstanceClass="db.m7g.large",
        AllocatedStorage=20,
        MasterUsername="renec_admin",
        ManageMasterUserPassword=True,
    )
    listed = small.client("rds").describe_db_instances(DBInstanceIdentifier="renec-cloud-restored-1")
    (instance,) = listed["DBInstances"]
    rehearsed = contents.look(session, instance, adopted=False)
    assert [(one.name, one.ok) for one in rehearsed] == [("opens", True), ("rows", True)]
    assert "renec-database-login" not in serving.names("ConfigMap"), "a rehearsal changes no login"

    monkeypatch.setitem(
        controllers.SAID, "restore-check", "version\t16.4\nrecovery\tf\ncontents\tERROR: gone\n"
    )
    found = contents.look(session, instance, adopted=True)
    assert [(one.name, one.ok) for one in found] == [("opens", True), ("rows", False)]
    assert "renec-database-login" in serving.names("ConfigMap")
    for kind in ("Job", "Secret", "NetworkPolicy"):
        assert not {"renec-restore-check", "renec-database-login"} & serving.names(kind), kind

    # A database that does not take the login is not right, whatever else could be asked of it.
    serving.objects.pop(("v1", "configmaps", "renec", "renec-database-login"))
    with monkeypatch.context() as patch:
        patch.setitem(controllers.SAID, "database-login", "psql: error: the database system is shut down")
        (refused,) = contents.look(session, instance, adopted=True)
    assert not refused.ok
    assert "shut down" in refused.detail

    serving.refusals.append(Refusal(401, "Unauthorized", "Unauthorized"))
    (skipped,) = contents.look(session, instance, adopted=True)
    assert skipped.ok
    assert skipped.detail.startswith("not looked at: ")


def test_a_drill_is_recorded_where_its_alert_is(session: AwsSession, serving: api.FakeApi) -> None:
    assert "renec-drillstale" in serving.names("PrometheusRule")
    drilling.record(session, 61.25)
    rules = serving.find("PrometheusRule", "renec-drill", "renec")["spec"]["groups"][0]["rules"]
    assert {one["record"]: one["expr"] for one in rules}["renec_drill_rto_seconds"] == "vector(61.2)"


@pytest.mark.timeout(600)
def test_up_killed_at_each_step_goes_on(small: Cloud, server: api.FakeApi) -> None:
    """All of it as people run it: the command, Terraform with the stub, Helm, and moto for AWS."""
    furnish(small)
    small.mirror.slow("aws_db_instance", 2.0)
    small.mirror.says(
        "aws_eks_cluster",
        {"endpoint": f"http://127.0.0.1:{server.port}", "certificate_authority": [{"data": ""}]},
    )
    arguments = ["up", small.name, "--yes", "--json"]
    arguments += [word for one in SETTINGS for word in ("--set", one)]
    for step in STEPS:
        kill_at(small, step, small.command(*arguments))
    done = small.run(*arguments, timeout=240)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {hook["name"]: hook["result"] for hook in result["hooks"]} == {
        "database": "ok",
        "backups": "ok",
        "monitoring": "disabled",
    }
    made = Counter(small.mirror.applied())
    assert made["create aws_eks_cluster"] == made["create aws_vpc"] == 1, "nothing was made twice"
    assert {"renec-api-blue", "renec-pooler"} <= server.names("Deployment")
    assert server.find("ConfigMap", "renec-database-login")["data"]["mark"]
    assert "renec-database-login" not in server.names("Secret")
    assert small.session().state.lock() is None, "no lock is left"
    after = small.run("plan", small.name, "--detailed-exitcode", "--json", timeout=240)
    assert after.returncode == 0, after.stdout
    assert {one["action"] for one in json.loads(after.stdout)["releases"]} == {"unchanged"}
    everything = json.dumps([one for key, one in server.objects.items() if key[1] != "secrets"])
    assert PASSWORD not in everything + done.stdout + done.stderr + after.stdout


def test_an_environment_without_a_cluster_says_so(
    session: AwsSession,
    cloud: Cloud,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend = cloud.profile().terraform.backend
    cloud.client("s3").delete_object(Bucket=backend.bucket, Key=backend.key)
    _, told, _ = run(capsys, "deploy", "cloud", f"api={API}", "--yes")
    assert told["error"]["id"] == "not-up"
    _, told, _ = run(capsys, "revisions", "cloud")
    assert told["error"]["id"] == "not-up"
