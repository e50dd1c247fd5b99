"""The catalogue on the AWS stack: edit a profile, render, plan with real Terraform, grade.

The provider is the schema's stub; which arguments it cannot change in place is listed beside it. Edits that
touch different resources share a plan: every pending change of it must be one that some edit expects.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from renecinfra.platforms.aws import stack, variables
from renecinfra.profiles.loading import load
from renecinfra.rendering import Renderer
from renecinfra.review import grading
from renecinfra.review.change import Review, review
from renecinfra.review.grades import load_grades
from renecinfra.terraform.adapter import Terraform
from renecinfra.terraform.binary import find_terraform
from renecinfra.workspace import Workspace
from tests.aws.provider.mirror import make_mirror, types_in

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[3]
GRADES = load_grades(ROOT / "templates")
WORKSPACE = Workspace(ROOT)
VERSION = 3


@dataclass
class Lab:
    """An environment that was applied once, with made-up values for what AWS would say."""

    environment: str
    terraform: Terraform
    directory: Path

    def write(
        self, overrides: Sequence[str], *, version: int = VERSION, protected: bool | None = None
    ) -> None:
        profile = load(WORKSPACE, self.environment, overrides).profile
        wanted = variables.variables(profile, version, protected=protected)
        rendered = stack.bundle(profile, Renderer(WORKSPACE.templates), WORKSPACE.terraform, wanted)
        stack.write(rendered, self.directory)
        (self.directory / stack.ROOT / "backend.tf").unlink()  # it is tried against moto by the tests of `up`

    def review(self, *, destroy: bool = False) -> Review:
        out = self.directory / "plan"
        self.terraform.plan(out, destroy=destroy)
        return review("case", grading.terraform_changes(self.terraform.show(out), GRADES))


def make_lab(environment: str, directory: Path) -> Lab:
    mirror = make_mirror(directory / "mirror", types_in([ROOT / "terraform"]))
    environ = {**os.environ, **mirror.environment, "TF_VAR_redis_password": "x" * 20}
    root = directory / "stack"
    terraform = Terraform(find_terraform(os.environ), root / stack.ROOT, environ=environ)
    lab = Lab(environment, terraform, root)
    lab.write([])
    terraform.init()
    terraform.plan(directory / "first")
    terraform.apply(directory / "first")
    return lab


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield make_lab("prod", tmp_path_factory.mktemp("prod"))


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield make_lab("staging", tmp_path_factory.mktemp("staging"))


def require(made: Review, expected: Mapping[str, str]) -> None:
    """Every change is expected, and as it is; everything that is expected is there."""
    found = {change.address: f"{change.action} {change.grade.word}" for change in made.changes}
    left = dict(found)
    for pattern, verdict in expected.items():
        mine = [address for address in left if fnmatchcase(address, pattern.replace("[", "[[]"))]
        assert mine, f"nothing changes {pattern}: {found}"
        assert {left.pop(address) for address in mine} == {verdict}, pattern
    assert not left, "changes that nobody expects"


GROUP = "module.cache.aws_elasticache_replication_group.this"
RDS = "module.database.aws_db_instance"
NODES = "module.cluster.aws_eks_node_group.this"
PARAMETERS = "module.database.aws_db_parameter_group.this"
COPY = "module.storage.module.backups_copy.aws_s3_bucket"
LOCK = "module.backup.aws_backup_vault_lock_configuration.this"
REPLICATION = "module.database.aws_db_instance_automated_backups_replication.this"

# Each is a list of edits, each with what it changes.
Edits = list[tuple[str, dict[str, str]]]
PROD: dict[str, Edits] = {
    "sizes": [
        ("database.work_mem=32Mi", {PARAMETERS: "update caution"}),
        ("database.storage=200Gi", {f"{RDS}.*": "update safe"}),
        ("cache.broker.instance_type=cache.m7g.xlarge", {f'{GROUP}["broker"]': "update caution"}),
        ("cache.cache.instance_type=cache.m7g.xlarge", {f'{GROUP}["cache"]': "update caution"}),
        ("platform.nodes_max=10", {NODES: "update safe"}),
        ("platform.web_rate_limit=5000", {"module.waf.aws_wafv2_web_acl.this": "update caution"}),
        ("platform.monthly_budget=4000", {"module.budget.aws_budgets_budget.this": "update safe"}),
        (
            "monitoring.slo.replication_lag=60s",
            {'module.alarms.aws_cloudwatch_metric_alarm.this["*-lag"]': "update safe"},
        ),
        (
            'platform.interface_endpoints=["ecr.api","ecr.dkr","logs"]',
            {'module.network.aws_vpc_endpoint.interface["sts"]': "delete caution"},
        ),
        (
            "edge.upstream_timeout=60s",
            {
                "module.cdn.aws_cloudfront_distribution.this": "update caution",
                "module.ingress.aws_lb.this": "update caution",
                "module.ingress.aws_lb_target_group.this": "update caution",
            },
        ),
        (
            'platform.api_allowed_cidrs=["203.0.113.0/24"]',
            {"module.cluster.aws_eks_cluster.this": "update caution"},
        ),
        ("platform.node_disk=80Gi", {"module.cluster.aws_launch_template.nodes": "update caution"}),
    ],
    "machines": [
        ("database.instance_type=db.m7g.xlarge", {f"{RDS}.*": "update caution"}),
        (
            "platform.cache_nodes=3",
            {f"{GROUP}[*": "update safe", "module.alarms.*broker-003-memory*": "create safe"},
        ),
        ("platform.node_type=m7i.xlarge", {NODES: "replace caution"}),
        (
            'platform.alarm_emails=["other@example.org"]',
            {
                'module.alarms.aws_sns_topic_subscription.this["*/other@example.org"]': "create safe",
                "module.alarms.aws_sns_topic_subscription.this[*oncall*": "delete caution",
                "module.budget.aws_budgets_budget.this": "update safe",
            },
        ),
        (
            "platform.github=null",
            {
                'module.github["this"].*': "delete caution",
                "module.cluster.aws_eks_access_*github*": "delete caution",
            },
        ),
        (
            "database.max_connections=250",
            {PARAMETERS: "update caution", "module.alarms.*-connections*": "update safe"},
        ),
    ],
    "versions": [
        (
            "database.version=17",
            {
                f"{RDS}.*": "update caution",
                PARAMETERS: "replace caution",
            },
        ),
        (
            'platform.kubernetes_version="1.34"',
            {"module.cluster.aws_eks_cluster.this": "update caution", NODES: "update caution"},
        ),
        (
            "platform.log_retention_days=90",
            {
                "module.storage.module.logs.aws_s3_bucket_lifecycle_configuration.this": "update safe",
                "*aws_cloudwatch_log_group*": "update safe",
            },
        ),
        (
            "edge.host=other.example.org",
            {
                "module.cdn.aws_cloudfront_distribution.this": "update caution",
                "module.certificates.aws_acm_certificate.*": "replace caution",
                "module.certificates.aws_acm_certificate_validation.*": "update caution",
                "module.certificates.aws_route53_record.proof": "replace caution",
                "module.dns.aws_route53_record.*": "replace caution",
                "module.dns.aws_route53_health_check.this": "update safe",
                "module.ingress.aws_lb_listener.https": "update caution",
            },
        ),
    ],
    "times": [
        (
            "platform.maintenance_window=mon:05:00-mon:06:00",
            {f"{RDS}.replica[0]": "update safe", f'{GROUP}["cache"]': "update safe"},
        ),
        (
            "backups.schedule=30 4 * * *",
            {
                f"{RDS}.primary": "update safe",
                f'{GROUP}["broker"]': "update safe",
                "module.backup.aws_backup_plan.this": "update caution",
            },
        ),
        ("platform.tags.Team=x", {"module.cluster.aws_launch_template.nodes": "update caution"}),
    ],
    "a replica more": [
        (
            "database.replicas=2",
            {
                f"{RDS}.replica[1]": "create safe",
                "module.alarms.*replica-2-*": "create safe",
                "module.database.aws_cloudwatch_log_group.replica[*replica-2/*": "create safe",
                "module.database.aws_db_event_subscription.this": "update safe",
            },
        )
    ],
    "backups are kept for a shorter time": [
        (
            "backups.retention=14d",
            {
                "module.backup.aws_backup_plan.this": "update stateful",
                f"{LOCK}[*": "replace stateful",
                f'{GROUP}["broker"]': "update stateful",
                f"{RDS}.primary": "update stateful",
                REPLICATION: "replace stateful",
                "module.storage.module.backups*lifecycle*": "update stateful",
                "module.storage.module.backups*object_lock*": "update stateful",
            },
        ),
        (
            "platform.log_retention_days=7",
            {
                "*aws_cloudwatch_log_group*": "update stateful",
                "module.storage.module.logs.aws_s3_bucket_lifecycle_configuration.this": "update stateful",
            },
        ),
    ],
    "the other region is another": [
        (
            "platform.backup_region=eu-west-1",
            {
                'module.backup.aws_backup_vault.this["us-west-2"]': "delete stateful",
                f'{LOCK}["us-west-2"]': "delete stateful",
                'module.backup.*["eu-west-1"]': "create safe",
                REPLICATION: "replace stateful",
                'module.keys.aws_kms_key.this["backup"]': "replace stateful",
                'module.keys.aws_kms_alias.this["backup"]': "replace stateful",
                f"{COPY}.this": "replace stateful",
                f"{COPY}_lifecycle_configuration.this": "replace stateful",
                f"{COPY}_object_lock_configuration.this[0]": "replace stateful",
                f"{COPY}_versioning.this": "replace stateful",
                f"{COPY}_*": "replace caution",
                "module.backup.aws_backup_plan.this": "update caution",
                "module.storage.aws_iam_role_policy.replication": "update caution",
                "module.storage.aws_s3_bucket_replication_configuration.backups": "update caution",
            },
        )
    ],
    "the database has another name": [
        (
            "database.name=other",
            {
                f"{RDS}.primary": "replace stateful",
                REPLICATION: "replace stateful",
                "module.backup.aws_backup_selection.this": "replace stateful",
            },
        ),
        (
            "platform.hosted_zone=Z9999999999EXAMPLE",
            {
                "module.certificates.aws_route53_record.proof": "replace caution",
                "module.certificates.aws_acm_certificate_validation.*": "update caution",
                "module.dns.aws_route53_record.*": "replace caution",
            },
        ),
    ],
    "a zone less": [
        (
            "platform.zones=2",
            {
                NODES: "replace caution",
                'module.network.*["us-east-1c"]': "delete caution",
                'module.alarms.*nat-us-east-1c"]': "delete caution",
                "module.*": "update caution",
            },
        )
    ],
    "the protection goes": [
        (
            "protection.protected=false",
            {
                "module.cluster.aws_eks_cluster.this": "update stateful",
                f"{RDS}.*": "update stateful",
                "module.ingress.aws_lb.this": "update caution",
            },
        )
    ],
}
STAGING: dict[str, Edits] = {
    "as safe as production": [
        ("platform.multi_az=true", {f"{RDS}.primary": "update safe"}),
        (
            "backups.retention=30d",
            {
                "module.backup.aws_backup_plan.this": "update safe",
                f"{LOCK}[*": "replace caution",
                REPLICATION: "replace caution",
                "module.storage.module.backups*object_lock*": "update caution",
                "module.storage.module.backups*lifecycle*": "update safe",
                f'{GROUP}["broker"]': "update safe",
            },
        ),
        (
            "platform.cache_nodes=2",
            {f'{GROUP}["cache"]': "update safe", "module.alarms.*broker-002-memory*": "create safe"},
        ),
    ],
    "no replica": [
        (
            "database.replicas=0",
            {
                f"{RDS}.replica[0]": "delete stateful",
                "module.alarms.*replica-1*": "delete caution",
                "module.database.aws_cloudwatch_log_group.replica[*": "delete stateful",
                "module.database.aws_db_event_subscription.this": "update safe",
            },
        )
    ],
}


def merged(edits: Edits) -> dict[str, str]:
    return {pattern: verdict for _, expected in edits for pattern, verdict in expected.items()}


@pytest.mark.parametrize("case", PROD)
def test_an_edit_of_production(prod: Lab, case: str) -> None:
    prod.write([edit for edit, _ in PROD[case]])
    require(prod.review(), merged(PROD[case]))


def test_nothing_and_a_new_password(prod: Lab) -> None:
    prod.write([])
    assert not prod.review().changes
    prod.write([], version=VERSION + 1)
    require(prod.review(), {f"{GROUP}[*": "update caution"})


def test_other_nodes_are_there_before_these_go(prod: Lab) -> None:
    """Else the application has no node at all meanwhile."""
    prod.write(["platform.node_type=m7i.xlarge"])
    prod.review()
    # Both orders are one action to us, so that it is read where Terraform says it.
    shown = prod.terraform._json("show", str(prod.directory / "plan"))
    changes = {one["address"]: one["change"]["actions"] for one in shown["resource_changes"]}
    assert changes[NODES] == ["create", "delete"]


def test_another_network_is_refused_without_consent(prod: Lab) -> None:
    """Nothing in it can move, the database least of all."""
    prod.write(["platform.vpc_cidr=10.50.0.0/16"])
    made = prod.review()
    stateful = {change.address for change in made.changes if change.grade.word == "stateful"}
    assert stateful == {"module.network.aws_vpc.this"}


def test_the_end_of_everything_that_has_data_is_stateful(prod: Lab) -> None:
    prod.write([], protected=False)
    changes = prod.review(destroy=True).changes
    kept = {kind for kind, rule in GRADES.types.items() if rule.data is not None}
    types = {change.address: change.address.rpartition(".aws_")[2].partition(".")[0] for change in changes}
    data = {address for address, kind in types.items() if f"aws_{kind}" in kept}
    assert len(data) > 15
    assert data <= {change.address for change in changes if change.grade.word == "stateful"}


@pytest.mark.parametrize("case", STAGING)
def test_an_edit_of_staging(staging: Lab, case: str) -> None:
    staging.write([edit for edit, _ in STAGING[case]])
    require(staging.review(), merged(STAGING[case]))


def test_the_catalogue_is_large() -> None:
    assert sum(len(edits) for edits in (*PROD.values(), *STAGING.values())) >= 30
