"""The alerts on PostgreSQL in a cluster, by Prometheus' own tool: each fires on its cause, and only on it.

What the operator and its plugin measure is theirs: the names are those of their documentation (CloudNativePG,
"Monitoring"; the plugin, "Observability").
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from renecinfra.platforms.kubernetes.alerts import RECOVERY, alert_objects, drilled
from renecinfra.profiles.loading import load
from renecinfra.profiles.model import Profile
from renecinfra.rendering import Renderer
from renecinfra.workspace import Workspace

from .conftest import ROOT
from .test_rules import promtool, unit

pytestmark = pytest.mark.integration
HERE = '{namespace="renec",pod="renec-postgresql-1"}'
ELSEWHERE = '{namespace="other",pod="a-1"}'
DAYS = 86400
# By alert: what makes it fire, and what does not.
CASES: dict[str, dict[str, dict[str, str]]] = {
    "PostgresDown": {
        "fires": {f"cnpg_collector_up{HERE}": "0x60", f"cnpg_collector_up{ELSEWHERE}": "1x60"},
        "quiet": {f"cnpg_collector_up{HERE}": "1x60", f"cnpg_collector_up{ELSEWHERE}": "0x60"},
    },
    "ReplicationLag": {
        "fires": {f"cnpg_pg_replication_lag{HERE}": "3600x60"},
        "quiet": {f"cnpg_pg_replication_lag{HERE}": "0x60", f"cnpg_pg_replication_lag{ELSEWHERE}": "3600x60"},
    },
    "ArchiveStalled": {
        "fires": {f"cnpg_pg_stat_archiver_seconds_since_last_archival{HERE}": "7200x60"},
        "quiet": {f"cnpg_pg_stat_archiver_seconds_since_last_archival{HERE}": "10x60"},
    },
    "BackupStale": {
        "fires": {
            f"barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{HERE}": f"-{30 * DAYS}x60"
        },
        "quiet": {f"barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{HERE}": "0x60"},
    },
    "DrillStale": {
        "fires": {"renec_drill_success_timestamp_seconds": f"-{90 * DAYS}x60"},
        "quiet": {
            "renec_drill_success_timestamp_seconds": "0x60",
            'kube_namespace_created{namespace="renec"}': f"-{90 * DAYS}x60",
        },
    },
}


@pytest.fixture
def profile() -> Profile:
    return load(Workspace(ROOT), "onprem", environ={}).profile


def rules(profile: Profile, renderer: Renderer, directory: Path) -> list[Path]:
    written = []
    for name, text in alert_objects(profile, renderer).items():
        if name.startswith("rule-"):
            path = directory / f"{name}.yaml"
            path.write_text(json.dumps(yaml.safe_load(text)["spec"]))
            written.append(path)
    return written


def run(tests: list[dict[str, Any]], files: list[Path], directory: Path) -> Any:
    suite = directory / "suite.json"
    suite.write_text(
        json.dumps({"evaluation_interval": "5m", "rule_files": [str(f) for f in files], "tests": tests})
    )
    return promtool("test", "rules", suite)


def test_rules_are_valid(profile: Profile, renderer: Renderer, tmp_path: Path) -> None:
    done = promtool("check", "rules", "--lint-fatal", *rules(profile, renderer, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_on_its_cause_only(profile: Profile, renderer: Renderer, tmp_path: Path) -> None:
    files = rules(profile, renderer, tmp_path)
    assert sorted(CASES) == sorted(RECOVERY)
    tests = []
    for alert, kinds in CASES.items():
        (rule, *_) = json.loads((tmp_path / f"rule-{alert.lower()}.yaml").read_text())["groups"][0]["rules"]
        tests += [unit(alert, kind, series, rule["labels"]["severity"]) for kind, series in kinds.items()]
    done = run(tests, files, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_postgresql_and_no_drill_at_all_are_told(
    profile: Profile, renderer: Renderer, tmp_path: Path
) -> None:
    files = rules(profile, renderer, tmp_path)
    down = unit("PostgresDown", "fires", {f"cnpg_collector_up{ELSEWHERE}": "1x60"}, "critical")
    old = {'kube_namespace_created{namespace="renec"}': f"-{90 * DAYS}x60"}
    new = {'kube_namespace_created{namespace="renec"}': "0x60"}
    never = [unit("DrillStale", kind, made, "warning") for kind, made in (("fires", old), ("quiet", new))]
    done = run([down, *never], files, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("environment", ["prod", "staging"])
def test_in_aws_the_age_of_the_last_drill_is_watched(
    environment: str, renderer: Renderer, tmp_path: Path
) -> None:
    aws = load(Workspace(ROOT), environment, environ={}).profile
    files = rules(aws, renderer, tmp_path)
    watched = {path.stem.removeprefix("rule-") for path in files}
    assert "drillstale" in watched
    assert not watched & {"postgresdown", "backupstale"}, "those ask for CloudNativePG's metrics"
    checked = promtool("check", "rules", "--lint-fatal", *files)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_drill_that_went_well_answers_the_alert(
    profile: Profile, renderer: Renderer, tmp_path: Path
) -> None:
    """Its record is rules: what they say is what a metric would."""
    files = rules(profile, renderer, tmp_path)
    made = json.loads(drilled(profile, datetime.fromtimestamp(1200, UTC), 61.25))
    record = tmp_path / "drill.json"
    record.write_text(json.dumps(made["spec"]))
    said = {
        "interval": "1m",
        "input_series": [{"series": "other", "values": "1x60"}],
        "promql_expr_test": [
            {
                "expr": name,
                "eval_time": "30m",
                "exp_samples": [{"labels": name, "value": value}],
            }
            for name, value in (
                ("renec_drill_success_timestamp_seconds", 1200),
                ("renec_drill_rto_seconds", 61.2),
            )
        ],
    }
    quiet = unit("DrillStale", "quiet", {"other": "1x60"}, "warning")
    done = run([said, quiet], [*files, record], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
