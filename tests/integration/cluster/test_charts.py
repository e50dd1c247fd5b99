"""Real helm renders our charts for every environment; Kubernetes takes every object, and policy allows it."""

from __future__ import annotations

import copy
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from renecinfra.kubernetes import catalogue
from renecinfra.kubernetes.backends import Backends, Store, in_cluster
from renecinfra.kubernetes.catalogue import Rendering
from renecinfra.kubernetes.places import Origin, Places
from renecinfra.platforms.kubernetes.alerts import alert_objects
from renecinfra.profiles.loading import load
from renecinfra.rendering import Renderer
from renecinfra.workspace import Workspace
from tests.cluster import objects
from tests.integration.cluster.conftest import directory_of

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ("onprem", "staging", "prod")
OURS = ("renec-harvester", "renec-data", "renec-secrets")
# Everything that is optional, at once.
ALL = (
    "workloads.worker.replicas_max=4",
    "database.max_connections=300",
    "workloads.flower.enabled=true",
    "workloads.flower.image=registry.example.org/renec/worker:1.4.0",
    "workloads.flower.secret_environment.FLOWER_BASIC_AUTH=vault:flower#auth",
    "workloads.api.metrics_path=/metrics",
    "workloads.worker.metrics_path=/metrics",
)
PEER = [{"ipBlock": {"cidr": "10.40.0.0/16"}}]
ELSEWHERE = Backends(
    Store("renec-pooler", 5432, PEER),
    Store("broker.example.org", 6379, PEER, tls=True),
    Store("cache.example.org", 6379, PEER, tls=True),
    server=Store("db.example.org", 5432, PEER),
    proxies=("10.40.0.0/16",),
)
pytestmark = pytest.mark.integration


@functools.cache
def values_of(environment: str) -> dict[str, str]:
    profile = load(Workspace(ROOT), environment, list(ALL), environ={}).profile
    backends = in_cluster() if environment == "onprem" else ELSEWHERE
    group = (
        ""
        if environment == "onprem"
        else "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/e/1"
    )
    rendering = Rendering(
        Renderer(ROOT / "templates"),
        ROOT,
        backends,
        target_group=group,
        objects=alert_objects(profile, Renderer(ROOT / "templates")),
    )
    return {
        path.removeprefix("helm/"): file.text for path, file in catalogue.bundle(profile, rendering).items()
    }


@functools.cache
def documents_of(environment: str, helm: str = "4", kube: str = "1.33") -> list[dict[str, Any]]:
    """The objects of all our charts for an environment."""
    found: list[dict[str, Any]] = []
    for chart in OURS:
        if f"{chart}.yaml" in values_of(environment):
            argv = [str(directory_of(helm) / "helm"), "template", "renec", str(objects.CHARTS / chart)]
            argv += ["--namespace", "renec", "--kube-version", kube, "--values", "-"]
            text = values_of(environment)[f"{chart}.yaml"]
            done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            found += [one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one]
    return found


def one(environment: str, kind: str, name: str) -> dict[str, Any]:
    (found,) = [
        document
        for document in documents_of(environment)
        if document["kind"] == kind and document["metadata"]["name"] == name
    ]
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_both_helms_render_the_same(environment: str) -> None:
    assert documents_of(environment, "3") == documents_of(environment, "4")


@pytest.mark.parametrize("helm", ["3", "4"])
@pytest.mark.parametrize("chart", OURS)
def test_the_charts_are_linted(helm: str, chart: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(values_of("onprem")[f"{chart}.yaml"])
    argv = [directory_of(helm) / "helm", "lint", "--strict", objects.CHARTS / chart]
    done = subprocess.run(
        [*argv, "--values", tmp_path / "values.yaml"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", objects.VERSIONS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_object_is_valid(environment: str, version: str) -> None:
    documents = documents_of(environment, kube=version)
    assert len(documents) > 30
    problems = [
        f"{document['kind']}/{document['metadata']['name']}: {problem}"
        for document in documents
        for problem in objects.problems_of_form(document, version)
    ]
    assert not problems


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_policy_holds(environment: str) -> None:
    documents = documents_of(environment)
    assert objects.problems_of_policy(documents) == []
    denied = one(environment, "NetworkPolicy", "default-deny")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


MUTATIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "Deployment": lambda d: d["spec"].update(replicas="three"),
    "StatefulSet": lambda d: d["spec"].pop("serviceName") and d["spec"].update(replica=1),
    "Job": lambda d: d["spec"].update(backoffLimit="none"),
    "Service": lambda d: d["spec"].update(selector=["api"]),
    "ConfigMap": lambda d: d.update(data=["a"]),
    "ServiceAccount": lambda d: d.update(automountServiceAccountToken="no"),
    "PodDisruptionBudget": lambda d: d["spec"].update(maxUnavailabe=1),
    "HorizontalPodAutoscaler": lambda d: d["spec"].pop("maxReplicas"),
    "NetworkPolicy": lambda d: d["spec"].update(policyTypes="Egress"),
    "PriorityClass": lambda d: d.pop("value"),
    "Role": lambda d: d["rules"][0].pop("verbs"),
    "RoleBinding": lambda d: d["roleRef"].pop("kind"),
}
CUSTOM: dict[str, Callable[[dict[str, Any]], object]] = {
    "ScaledObject": lambda d: d["spec"].pop("triggers"),
    "TriggerAuthentication": lambda d: d["spec"].update(secretTargetRef={}),
    "ServiceMonitor": lambda d: d["spec"].update(endpoints={}),
    "PodMonitor": lambda d: d["spec"].pop("selector"),
    "Certificate": lambda d: d["spec"].pop("issuerRef"),
    "Issuer": lambda d: d["spec"].update(selfSigned=[], vault=[]),
    "ExternalSecret": lambda d: d["spec"].update(refreshInterval=5),
    "SecretStore": lambda d: d["spec"].pop("provider"),
    "PrometheusRule": lambda d: d["spec"]["groups"][0].pop("name"),
    "AlertmanagerConfig": lambda d: d["spec"].update(receivers={}),
    "Cluster": lambda d: d["spec"].update(instances=0),
    "Pooler": lambda d: d["spec"].pop("pgbouncer"),
    "ScheduledBackup": lambda d: d["spec"].pop("schedule"),
    "ObjectStore": lambda d: d["spec"].pop("configuration"),
}


def kinds() -> Iterator[Any]:
    for kind, mutation in {**MUTATIONS, **CUSTOM}.items():
        needs = not objects.custom_schemas() and kind in CUSTOM
        marks = pytest.mark.skipif(needs, reason=f"{objects.SCHEMAS} names no file of schemas")
        yield pytest.param(kind, mutation, id=kind, marks=marks)


@pytest.mark.parametrize(("kind", "mutation"), list(kinds()))
def test_one_broken_field_of_each_kind_is_caught(
    kind: str, mutation: Callable[[dict[str, Any]], object]
) -> None:
    document = copy.deepcopy(next(d for d in documents_of("onprem") if d["kind"] == kind))
    assert objects.problems_of_form(document, "1.33") == []
    mutation(document)
    assert objects.problems_of_form(document, "1.33")


def test_a_mutation_stands_for_every_kind() -> None:
    assert {document["kind"] for document in documents_of("onprem")} <= {*MUTATIONS, *CUSTOM}


LOOSE: dict[str, Callable[[dict[str, Any]], object]] = {
    "root": lambda s: (
        s["securityContext"].pop("runAsNonRoot"),
        [c["securityContext"].pop("runAsNonRoot") for c in objects.containers(s)],
    ),
    "seccomp": lambda s: (
        s["securityContext"].pop("seccompProfile"),
        [c["securityContext"].pop("seccompProfile") for c in objects.containers(s)],
    ),
    "capabilities": lambda s: s["containers"][0]["securityContext"].pop("capabilities"),
    "writable": lambda s: s["containers"][0]["securityContext"].update(readOnlyRootFilesystem=False),
    "escalation": lambda s: s["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "latest": lambda s: s["containers"][0].update(image="renec/api:latest"),
    "limits": lambda s: s["containers"][0]["resources"].pop("limits"),
    "token": lambda s: s.pop("automountServiceAccountToken"),
    "host": lambda s: s.update(hostNetwork=True),
    "volume": lambda s: s["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
}


@pytest.mark.parametrize("name", LOOSE)
def test_the_policy_catches(name: str) -> None:
    documents = copy.deepcopy(documents_of("onprem"))
    deployment = next(d for d in documents if d["kind"] == "Deployment")
    LOOSE[name](deployment["spec"]["template"]["spec"])
    assert objects.problems_of_policy(documents)


@pytest.mark.parametrize("kind", ["PodDisruptionBudget", "NetworkPolicy"])
def test_the_policy_misses_nothing(kind: str) -> None:
    documents = [
        d for d in documents_of("onprem") if not (d["kind"] == kind and d["metadata"]["name"] == "renec-api")
    ]
    assert objects.problems_of_policy(documents)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("workloads", "api", "slots", "blue"), "renec/api:latest", "slots"),
        (("workloads", "beat", "replicas"), 2, "replicas"),
        (("workloads", "api", "replica"), 2, "replica"),
        (("edge", "service", "type"), "Loadbalancer", "type"),
        (("database", "port"), "5432", "port"),
    ],
)
def test_the_schema_refuses(path: tuple[str, ...], value: object, words: str) -> None:
    values = yaml.safe_load(values_of("onprem")["renec-harvester.yaml"])
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    argv = [
        directory_of("4") / "helm",
        "template",
        "renec",
        objects.CHARTS / "renec-harvester",
        "--values",
        "-",
    ]
    done = subprocess.run(
        argv, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert words in done.stderr


def test_what_changes_rolls_what_uses_it() -> None:
    pod = one("onprem", "Deployment", "renec-api-blue")["spec"]["template"]["metadata"]["annotations"]
    edge = one("onprem", "Deployment", "renec-edge")["spec"]["template"]["metadata"]["annotations"]
    assert set(pod) == {"checksum/configuration", "checksum/secrets"}
    assert len(edge["checksum/configuration"]) == 64


def test_beat_cannot_double() -> None:
    beat = one("onprem", "StatefulSet", "renec-beat")["spec"]
    assert beat["replicas"] == 1
    assert "renec-beat" not in {
        d["metadata"]["name"] for d in documents_of("onprem") if d["kind"] == "Deployment"
    }


def test_migrations_come_first_and_once() -> None:
    job = one("onprem", "Job", "renec-migrations")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["backoffLimit"] == 0
    # At the first installation the priority class is not there yet.
    assert "priorityClassName" not in job["spec"]["template"]["spec"]


def test_workers_scale_between_floor_and_ceiling() -> None:
    scaled = one("onprem", "ScaledObject", "renec-worker")["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (3, 4)
    assert {t["metadata"]["listName"] for t in scaled["triggers"]} == {"harvest", "monitoring"}
    deployment = one("onprem", "Deployment", "renec-worker-main")
    assert "replicas" not in deployment["spec"], "an upgrade must not undo the autoscaler's number"


def test_secrets_reach_processes_by_reference_only() -> None:
    for document in documents_of("onprem"):
        spec = objects.pod_spec(document)
        for container in objects.containers(spec) if spec else []:
            for variable in container.get("env", []):
                if "PASSWORD" in variable["name"] or variable["name"] == "RENEC_API_KEY":
                    assert "secretKeyRef" in variable["valueFrom"]
    assert not [d for d in documents_of("onprem") if d["kind"] == "Secret"]


def test_the_edge_reads_its_certificate_without_a_reload() -> None:
    volumes = one("onprem", "Deployment", "renec-edge")["spec"]["template"]["spec"]["volumes"]
    (tls,) = [volume for volume in volumes if volume["name"] == "tls"]
    paths = {item["key"]: item["path"] for item in tls["secret"]["items"]}
    # nginx finds tls.pem beside the directory that `public` resolves to (templates/edge/nginx.conf.j2).
    assert paths == {"tls-combined.pem": "tls.pem", "tls.crt": "public/certificate.pem"}
    assert {"type": "CombinedPEM"} in one("onprem", "Certificate", "renec-edge")["spec"][
        "additionalOutputFormats"
    ]
    assert {"type": "CombinedPEM"} in one("prod", "Certificate", "renec-edge")["spec"][
        "additionalOutputFormats"
    ]


def test_a_pooler_stands_before_a_database_of_the_cloud() -> None:
    configuration = one("prod", "ConfigMap", "renec-pooler")["data"]["pgbouncer.ini"]
    # 150 connections, shared by two.
    assert "default_pool_size = 75" in configuration
    assert "host=db.example.org port=5432" in configuration
    assert one("prod", "TargetGroupBinding", "renec-edge")["spec"]["targetType"] == "ip"
    assert not [d for d in documents_of("onprem") if d["kind"] == "TargetGroupBinding"]
    (container,) = one("prod", "Job", "renec-migrations")["spec"]["template"]["spec"]["containers"]
    address = {each["name"]: each.get("value") for each in container["env"]}["DATABASE_URL"]
    assert "@db.example.org:5432/renec?sslmode=require" in str(address), "the pooler comes after them"


def test_nginx_takes_the_edges_configuration(tmp_path: Path) -> None:
    """But for the resolving of names, which is newer than the nginx at hand."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert nginx is not None, "run `renecinfra doctor --install`"
    for name, text in one("prod", "ConfigMap", "renec-edge")["data"].items():
        assert "resolve" in text or name != "nginx.conf"
        plain = re.sub(r" resolve\b|include \"/run/edge/resolver.conf\";", "", text)
        plain = re.sub(r"renec-(api|ui):", "127.0.0.1:", plain).replace("/run/edge", str(tmp_path))
        (tmp_path / name).write_text(plain)
    argv = [nginx, "-t", "-e", "stderr", "-p", tmp_path, "-c", tmp_path / "nginx.conf"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


PASSWORDS = ("plain", 'quo"te', "back\\slash $x 'y' %s")


@pytest.mark.parametrize("password", PASSWORDS)
def test_redis_takes_any_password(password: str, tmp_path: Path) -> None:
    """The container's own script, with a redis-server that shows its configuration."""
    spec = one("onprem", "StatefulSet", "renec-redis-broker")["spec"]["template"]["spec"]
    script = spec["containers"][0]["args"][0].replace("/tmp/", f"{tmp_path}/")
    script = script.replace("/etc/renec/redis.conf", "/dev/null").replace("exec redis-server", "cat")
    environ = {"REDIS_PASSWORD": password, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["sh", "-euc", script], env=environ, capture_output=True, text=True, check=True)
    line = done.stdout.strip()
    assert line.startswith('requirepass "')
    quoted = line.removeprefix('requirepass "').removesuffix('"')
    assert re.sub(r"\\(.)", r"\1", quoted) == password


def test_alerts_go_to_the_profiles_receivers() -> None:
    spec = one("prod", "AlertmanagerConfig", "renec")["spec"]
    receivers = {receiver["name"]: receiver for receiver in spec["receivers"]}
    (pagerduty,) = receivers["on-call"]["pagerdutyConfigs"]
    assert pagerduty["routingKey"] == {"name": "renec-alerting", "key": "on-call"}
    assert [route["receiver"] for route in spec["route"]["routes"]] == ["on-call", "team"]
    assert "{{ range .Alerts }}" in receivers["team"]["slackConfigs"][0]["text"], "Helm leaves it alone"
    rule = one("prod", "PrometheusRule", "renec-apierrorrate")["spec"]["groups"][0]["rules"][0]
    assert "renec:api_error_ratio:rate5m >" in rule["expr"]


def test_postgresql_is_three_with_a_synchronous_one_and_an_archive() -> None:
    profile = load(Workspace(ROOT), "onprem", ["database.replicas=2"], environ={}).profile
    files = catalogue.bundle(profile, Rendering(Renderer(ROOT / "templates"), ROOT, in_cluster()))
    assert yaml.safe_load(files["helm/renec-data.yaml"].text)["database"]["instances"] == 3
    spec = one("onprem", "Cluster", "renec-postgresql")["spec"]
    assert spec["postgresql"]["synchronous"]["number"] == 1
    (plugin,) = spec["plugins"]
    assert plugin["isWALArchiver"] is True
    assert (
        plugin["parameters"]["barmanObjectName"]
        == one("onprem", "ObjectStore", "renec-postgresql")["metadata"]["name"]
    )


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"targetTime": "2026-11-24T10:31:00+00:00"},
        {"backupID": "20261124T013000", "targetImmediate": True},
        {"targetLSN": "0/3000148"},
        {"targetXID": "4711"},
        {"targetName": "before-tuesday"},
    ],
    ids=lambda target: next(iter(target), "latest"),
)
def test_a_restored_cluster_and_the_one_before_are_valid(target: dict[str, Any]) -> None:
    fresh = Places.fresh("onprem")
    beside = fresh.with_beside("20261124-103100", Origin("onprem", target, "a moment"), "onprem")
    assert beside.beside is not None
    for places in (beside, beside.exchanged(beside.beside)):
        values = yaml.safe_load(values_of("onprem")["renec-data.yaml"])
        values["database"]["clusters"] = places.document()
        assert Places.of_values(values, "onprem") == places
        argv = [str(directory_of("4") / "helm"), "template", "renec", str(objects.CHARTS / "renec-data")]
        argv += ["--namespace", "renec", "--kube-version", "1.33", "--values", "-"]
        text = yaml.safe_dump(values)
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        documents = [one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one]
        assert [p for document in documents for p in objects.problems_of_form(document, "1.33")] == []
        clusters = {d["metadata"]["name"]: d for d in documents if d["kind"] == "Cluster"}
        assert set(clusters) == {"renec-postgresql", "renec-postgresql-20261124-103100"}
        bootstrap = clusters["renec-postgresql-20261124-103100"]["spec"]["bootstrap"]
        assert bootstrap["recovery"].get("recoveryTarget", {}) == target
        servers = {one["spec"]["plugins"][0]["parameters"]["serverName"] for one in clusters.values()}
        assert len(servers) == 2, "two that archive under one name destroy each other's archive"
