"""One violation per rule is found by its id and place; what is right has none."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from renecinfra.errors import ProfileError
from renecinfra.profiles.loading import LoadedProfile, load
from renecinfra.rendering import Bundle, RenderedFile
from renecinfra.review.policy import objects, plan
from renecinfra.review.policy.audit import Audit, audit
from renecinfra.review.policy.rules import RULES, Finding
from renecinfra.review.policy.sarif import sarif
from renecinfra.terraform.plan import parse_plan

ROOT = Path(__file__).parents[3]
TODAY = date(2026, 11, 25)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("workspace")
    shutil.copytree(ROOT / "environments", directory / "environments")
    return directory


def loaded(workspace: Path, text: str = "", base: str = "prod") -> LoadedProfile:
    path = workspace / "environments" / "case.yaml"
    path.write_text(f"extends: {base}\nenvironment: case\n{text}", encoding="utf-8")
    return load(workspace, "case")


def audited(workspace: Path, text: str = "", base: str = "prod", **more: Any) -> Audit:
    more.setdefault("today", TODAY)
    return audit(loaded(workspace, text, base), more.pop("bundle", None), more.pop("terraform", None), **more)


# --- profiles: each with the line that is to blame

REFUSED = [
    "workloads:\n  api: {image: registry.example.org/renec/api:latest}\n",
    "workloads:\n  api: {image: registry.example.org:5000/renec/api}\n",
    'workloads:\n  api:\n    environment: {SMTP_PASSWORD: "x1"}\n',
    'secrets: {address: "http://vault.example.org:8200"}\n',
]
PROFILES = [
    (
        "encryption-in-transit",
        'monitoring:\n  receivers:\n    hook: {kind: webhook, url: "http://hooks.example.org/x"}\n',
        5,
    ),
    ("backups", "backups:\n  rpo: 1h\n", 4),
    ("backup-retention", "backups:\n  retention: 7d\n", 4),
    ("alerting", "monitoring:\n  receivers:\n    on-call: null\n    team: {severities: [warning]}\n", 5),
    ("monitoring", "hooks:\n  monitoring: {enabled: false}\n", 4),
    ("login", "secrets: {auth: token, role: null}\n", 3),
    ("replicas", "workloads:\n  worker: {replicas: 1}\n", 4),
    ("tags", "platform:\n  tags: {Project: null}\n", 4),
]


@pytest.mark.parametrize(("rule", "text", "line"), PROFILES, ids=lambda value: str(value)[:30])
def test_a_violation_in_a_profile(workspace: Path, rule: str, text: str, line: int) -> None:
    (one,) = audited(workspace, text).findings
    assert one.rule == rule
    assert one.location is not None
    assert one.location.path == "environments/case.yaml"
    assert one.location.line == line


@pytest.mark.parametrize("text", REFUSED)
def test_some_violations_are_refused_when_the_profile_is_loaded(workspace: Path, text: str) -> None:
    with pytest.raises(ProfileError) as refused:
        loaded(workspace, text)
    assert refused.value.location is not None
    assert "x1" not in repr(refused.value.message)


@pytest.mark.parametrize("name", ["prod", "onprem"])
def test_the_profiles_of_production_are_clean(name: str) -> None:
    assert audit(load(ROOT, name), None, None, today=TODAY).findings == ()


# --- objects

GOOD = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: api, namespace: renec}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: api}}}}
  template:
    metadata: {{labels: {{app: api}}}}
    spec:
      securityContext: {{runAsNonRoot: true}}
      topologySpreadConstraints: [{{maxSkew: 1}}]
      containers:
        - name: api
          image: registry.example.org/renec/api@sha256:{"0" * 64}
          ports: [{{containerPort: 8000}}]
          readinessProbe: {{httpGet: {{path: /health}}}}
          securityContext:
            allowPrivilegeEscalation: false
            capabilities: {{drop: [ALL]}}
          resources:
            requests: {{cpu: 250m, memory: 512Mi}}
            limits: {{memory: 1Gi}}
          env:
            - name: DB_PASSWORD
              valueFrom: {{secretKeyRef: {{name: db, key: password}}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: api, namespace: renec}}
spec: {{selector: {{matchLabels: {{app: api}}}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: default, namespace: renec}}
---
apiVersion: v1
kind: Service
metadata: {{name: api, namespace: renec}}
spec: {{type: ClusterIP}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: api, namespace: renec}}
rules: [{{apiGroups: [""], resources: [pods], verbs: [get]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: api, namespace: renec}}
spec: {{tls: [{{hosts: [a.example.org]}}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: edge, namespace: renec}}
data:
  nginx.conf: |
    ssl_protocols TLSv1.2 TLSv1.3;
"""
OBJECTS = [
    ("image-pinned", f"api@sha256:{'0' * 64}", "api:latest", 14),
    ("image-pinned", f"renec/api@sha256:{'0' * 64}", "renec/api", 14),
    ("resources", "limits: {memory: 1Gi}", "limits: {cpu: 1}", 22),
    ("resources", "            requests: {cpu: 250m, memory: 512Mi}\n", "", 21),
    ("probes", "          readinessProbe: {httpGet: {path: /health}}\n", "", 13),
    ("privileges", "securityContext: {runAsNonRoot: true}", "securityContext: {}", 18),
    ("privileges", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", 18),
    ("privileges", "drop: [ALL]", "drop: []", 18),
    ("privileges", "topologySpread", "hostNetwork: true\n      topologySpread", 11),
    (
        "plain-secret",
        "valueFrom: {secretKeyRef: {name: db, key: password}}",
        'value: "not-shown"',
        24,
    ),
    ("spread", "      topologySpreadConstraints: [{maxSkew: 1}]\n", "", 10),
    ("disruption", "kind: PodDisruptionBudget", "kind: Other", 1),
    ("network-policy", "kind: NetworkPolicy", "kind: Other", 1),
    ("public-service", "type: ClusterIP", "type: LoadBalancer", 39),
    ("least-privilege", "verbs: [get]", 'verbs: ["*"]', 44),
    ("encryption-in-transit", "spec: {tls: [{hosts: [a.example.org]}]}", "spec: {}", 49),
    ("tls-version", "TLSv1.2 TLSv1.3", "TLSv1 TLSv1.2", 56),
    ("plain-secret", "data:\n  nginx.conf: |", "data:\n  api_token: abcdef\n  nginx.conf: |", 55),
]


def bundle(text: str) -> Bundle:
    return {"objects/all.yaml": RenderedFile(text)}


@pytest.mark.parametrize(("rule", "old", "new", "line"), OBJECTS)
def test_a_violation_in_an_object(rule: str, old: str, new: str, line: int) -> None:
    assert GOOD.count(old) >= 1
    found = list(objects.check(bundle(GOOD.replace(old, new, 1))))
    assert {one.rule for one in found} == {rule}
    assert found[0].location is not None
    assert (found[0].location.path, found[0].location.line) == ("objects/all.yaml", line)
    assert "not-shown" not in repr(found) and "abcdef" not in repr(found)


def test_what_is_right_has_no_findings() -> None:
    assert list(objects.check(bundle(GOOD))) == []
    one_pod = GOOD.replace("replicas: 2", "replicas: 1").replace("kind: PodDisruptionBudget", "kind: Other")
    assert list(objects.check(bundle(one_pod))) == []


@pytest.mark.parametrize(
    ("value", "found"), [('"$(FIRST),$(SECOND)"', []), ('"$(FIRST),x"', ["plain-secret"])]
)
def test_a_variable_of_other_variables_holds_no_secret(value: str, found: list[str]) -> None:
    text = GOOD.replace("valueFrom: {secretKeyRef: {name: db, key: password}}", f"value: {value}")
    assert [one.rule for one in objects.check(bundle(text))] == found


def test_other_objects() -> None:
    admin = "apiVersion: v1\nkind: ClusterRoleBinding\nmetadata: {name: a}\nroleRef: {name: cluster-admin}\n"
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: hunter2}\n"
    assert [one.rule for one in objects.check(bundle(admin))] == ["least-privilege"]
    (found,) = objects.check(bundle(secret))
    assert found.rule == "plain-secret" and "hunter2" not in repr(found)
    old = {"edge/nginx.conf": RenderedFile("# edge\n  ssl_protocols TLSv1.1 TLSv1.2;\n")}
    (found,) = objects.check(old)
    assert (found.rule, str(found.location)) == ("tls-version", "edge/nginx.conf:2:1")


# --- plans

DATABASE = {
    "storage_encrypted": True,
    "publicly_accessible": False,
    "backup_retention_period": 35,
    "deletion_protection": True,
}
REDIS = {"at_rest_encryption_enabled": True, "transit_encryption_enabled": True}
ACCESS = dict.fromkeys(
    ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"), True
)
STAR = json.dumps({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
SOME = json.dumps({"Statement": [{"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "*"}]})
EKS = {"enabled_cluster_log_types": ["api", "audit"], "vpc_config": [{"endpoint_public_access": False}]}
RESOURCES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("encryption-at-rest", "aws_db_instance", DATABASE, {"storage_encrypted": False}),
    ("public-database", "aws_db_instance", DATABASE, {"publicly_accessible": True}),
    ("backups", "aws_db_instance", DATABASE, {"backup_retention_period": 0}),
    ("deletion-protection", "aws_db_instance", DATABASE, {"deletion_protection": None}),
    ("encryption-at-rest", "aws_elasticache_replication_group", REDIS, {"at_rest_encryption_enabled": None}),
    ("encryption-in-transit", "aws_elasticache_replication_group", REDIS, {"transit_encryption_enabled": 0}),
    ("encryption-at-rest", "aws_ebs_volume", {"encrypted": True}, {"encrypted": False}),
    ("public-bucket", "aws_s3_bucket_public_access_block", ACCESS, {"block_public_policy": False}),
    ("public-bucket", "aws_s3_bucket_acl", {"acl": "private"}, {"acl": "public-read"}),
    (
        "open-ingress",
        "aws_vpc_security_group_ingress_rule",
        {"cidr_ipv4": "0.0.0.0/0", "from_port": 443, "to_port": 443},
        {"from_port": 5432, "to_port": 5432},
    ),
    (
        "open-ingress",
        "aws_security_group",
        {"ingress": []},
        {"ingress": [{"cidr_blocks": ["0.0.0.0/0"], "from_port": 0, "to_port": 65535}]},
    ),
    ("least-privilege", "aws_iam_role_policy", {"policy": SOME}, {"policy": STAR}),
    ("tls-version", "aws_lb_listener", {"ssl_policy": "ELBSecurityPolicy-TLS13-1-2-2021-06"},
     {"ssl_policy": "ELBSecurityPolicy-2016-08"}),
    ("encryption-in-transit", "aws_lb_listener",
     {"protocol": "HTTP", "default_action": [{"type": "redirect"}]},
     {"default_action": [{"type": "forward"}]}),
    ("tls-version", "aws_cloudfront_distribution",
     {"viewer_certificate": [{"minimum_protocol_version": "TLSv1.2_2021"}]},
     {"viewer_certificate": [{"minimum_protocol_version": "TLSv1"}]}),
    ("encryption-in-transit", "aws_cloudfront_distribution",
     {"default_cache_behavior": [{"viewer_protocol_policy": "redirect-to-https"}]},
     {"default_cache_behavior": [{"viewer_protocol_policy": "allow-all"}]}),
    ("key-rotation", "aws_kms_key", {"enable_key_rotation": True}, {"enable_key_rotation": False}),
    ("log-retention", "aws_cloudwatch_log_group", {"retention_in_days": 365}, {"retention_in_days": 0}),
    ("audit-log", "aws_eks_cluster", EKS, {"enabled_cluster_log_types": ["api"]}),
    ("open-ingress", "aws_eks_cluster", EKS, {"vpc_config": [{"endpoint_public_access": True}]}),
    ("instance-metadata", "aws_launch_template", {"metadata_options": [{"http_tokens": "required"}]},
     {"metadata_options": []}),
]  # fmt: skip


def planned(kind: str, after: dict[str, Any]) -> Any:
    change = {"actions": ["create"], "before": None, "after": after}
    resource = {"address": f"{kind}.a", "type": kind, "change": change}
    return parse_plan({"format_version": "1.2", "resource_changes": [resource]})


@pytest.mark.parametrize(("rule", "kind", "good", "bad"), RESOURCES)
def test_a_violation_in_a_plan(rule: str, kind: str, good: dict[str, Any], bad: dict[str, Any]) -> None:
    assert list(plan.check(planned(kind, good), protected=True)) == []
    (one,) = plan.check(planned(kind, good | bad), protected=True)
    assert (one.rule, one.target) == (rule, f"{kind}.a")


def test_what_goes_is_not_judged_and_production_rules_are_for_production() -> None:
    gone = parse_plan(
        {
            "format_version": "1.2",
            "resource_changes": [
                {"address": "a.b", "type": "aws_db_instance", "change": {"actions": ["delete"], "before": {}}}
            ],
        }
    )
    assert list(plan.check(gone, protected=True)) == []
    small = DATABASE | {"backup_retention_period": 1, "deletion_protection": False}
    assert list(plan.check(planned("aws_db_instance", small), protected=False)) == []


# --- waivers and reports

WAIVER = """\
protection:
  waivers:
    - {{rule: {rule}, target: {target}, reason: decided by A, until: '{until}'}}
"""
ONE = "workloads:\n  worker: {replicas: 1}\n"


def waived(
    workspace: Path, rule: str, target: str = "workloads.worker.*", until: str = "2026-11-25"
) -> Audit:
    text = WAIVER.format(rule=rule, target=json.dumps(target), until=until)
    return audited(workspace, ONE + text)


def test_a_waiver_covers_what_it_names_until_it_ends(workspace: Path) -> None:
    covered = waived(workspace, "replicas")
    assert covered.open == ()
    assert covered.findings[0].waived == "decided by A (until 2026-11-25)"


@pytest.mark.parametrize(
    ("rule", "target", "until", "expected"),
    [
        ("replicas", "*", "2026-11-24", {"replicas", "waiver-expired"}),
        ("replica", "*", "2027-01-01", {"replicas", "waiver-unknown"}),
        ("waiver-expired", "*", "2027-01-01", {"replicas", "waiver-unknown"}),
        ("replicas", "workloads.ui.*", "2027-01-01", {"replicas", "waiver-unused"}),
    ],
)
def test_a_waiver_that_does_not_hold(
    workspace: Path, rule: str, target: str, until: str, expected: set[str]
) -> None:
    made = waived(workspace, rule, target, until)
    assert {one.rule for one in made.open} == expected
    (about,) = [one for one in made.open if one.rule.startswith("waiver-")]
    assert about.location is not None and about.location.line == 7


def test_every_rule_is_violated_by_some_case() -> None:
    seen = {case[0] for case in (*PROFILES, *OBJECTS, *RESOURCES)}
    assert seen | {"waiver-expired", "waiver-unknown", "waiver-unused"} == set(RULES)


def test_what_could_not_be_looked_at_does_not_pass(workspace: Path) -> None:
    lists = audited(workspace).lists()["OWASP Top 10"]
    assert lists["A03 Injection"]["result"] == "not covered"
    assert lists["A01 Broken Access Control"]["result"] == "not checked"
    assert lists["A02 Cryptographic Failures"]["result"] == "partly checked"
    assert "encryption-at-rest" in lists["A02 Cryptographic Failures"]["unchecked"]
    whole = audited(workspace, bundle=bundle(GOOD), terraform=planned("aws_db_instance", DATABASE)).lists()
    assert whole["OWASP Top 10"]["A01 Broken Access Control"]["result"] == "passed"


def test_the_reports_have_their_schemas(workspace: Path) -> None:
    made = audited(workspace, ONE, more=[Finding("trivy:AVD-1", "warn", "a", "a: b")])
    schema = json.loads((ROOT / "docs" / "reference" / "schemas" / "audit.json").read_text(encoding="utf-8"))
    jsonschema.validate(made.document(), schema)
    report = sarif(made)
    rules = {rule["id"] for rule in report["runs"][0]["tool"]["driver"]["rules"]}
    results = report["runs"][0]["results"]
    assert {result["ruleId"] for result in results} == {"replicas", "trivy:AVD-1"} <= rules
    where = results[0]["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "environments/case.yaml"
    assert where["region"]["startLine"] == 4
    assert "suppressions" in sarif(waived(workspace, "replicas"))["runs"][0]["results"][0]


def test_the_good_objects_are_objects() -> None:
    assert len(list(yaml.safe_load_all(GOOD))) == 7
