"""Every alert, by Prometheus' own tool: it fires on its cause and keeps quiet beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from renecinfra.platforms.local.monitoring import rule_context
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer

from .conftest import LOCAL, PROD, PROD_SIZING, ROOT, SIZING

pytestmark = pytest.mark.integration
RULES = ROOT / "templates" / "monitoring" / "rules"
CASES = Path(__file__).parent / "rules"
ALERTS = sorted(path.name.removesuffix(".yaml.j2") for path in RULES.glob("[A-Z]*.yaml.j2"))
PROFILES = {"local": (LOCAL, SIZING), "prod": (PROD, PROD_SIZING)}


@pytest.fixture(params=sorted(PROFILES))
def context(request: pytest.FixtureRequest) -> dict[str, Any]:
    values, sizing = PROFILES[request.param]
    return rule_context(Profile.model_validate(values), sizing)


def render_rules(renderer: Renderer, context: dict[str, Any], directory: Path) -> list[Path]:
    written = []
    for name, file in renderer.directory("monitoring/rules", context).items():
        (directory / name).write_text(file.text)
        written.append(directory / name)
    return written


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *map(str, arguments)], text=True, capture_output=True, check=False)


def case(alert: str, context: dict[str, Any]) -> dict[str, Any]:
    text = (CASES / f"{alert}.yaml.j2").read_text()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    loaded: dict[str, Any] = yaml.safe_load(environment.from_string(text).render(context))
    return loaded


def unit(alert: str, kind: str, series: dict[str, str], severity: str) -> dict[str, Any]:
    """A promtool test at one hour of one-minute samples: how many alerts of that severity fire."""
    selector = f'ALERTS{{alertname="{alert}",severity="{severity}",alertstate="firing"}}'
    fires = kind == "fires"
    return {
        "name": f"{alert} {kind}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"sgn(count({selector}))",
                "eval_time": "1h",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


def test_rules_are_valid(renderer: Renderer, context: dict[str, Any], tmp_path: Path) -> None:
    done = promtool("check", "rules", "--lint-fatal", *render_rules(renderer, context, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_on_its_cause_only(
    renderer: Renderer, context: dict[str, Any], tmp_path: Path
) -> None:
    files = render_rules(renderer, context, tmp_path)
    tests = []
    for alert in ALERTS:
        rule = yaml.safe_load((tmp_path / f"{alert}.yaml").read_text())["groups"][0]["rules"][0]
        for kind, wanted in case(alert, context).items():
            tests.append(unit(alert, kind, wanted["series"], rule["labels"]["severity"]))
    suite = tmp_path / "suite.json"
    suite.write_text(
        json.dumps({"evaluation_interval": "5m", "rule_files": [str(f) for f in files], "tests": tests})
    )
    done = promtool("test", "rules", suite)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_cases_can_fail(renderer: Renderer, tmp_path: Path) -> None:
    context = rule_context(Profile.model_validate(LOCAL), SIZING)
    files = render_rules(renderer, context, tmp_path)
    quiet = case("EdgeDown", context)["quiet"]["series"]
    suite = tmp_path / "suite.json"
    tests = [unit("EdgeDown", "fires", quiet, "critical")]
    suite.write_text(
        json.dumps({"evaluation_interval": "5m", "rule_files": [str(f) for f in files], "tests": tests})
    )
    assert promtool("test", "rules", suite).returncode != 0


def test_annotations_expand(renderer: Renderer, tmp_path: Path) -> None:
    """An error in an annotation's template would only show in the text that people get."""
    context = rule_context(Profile.model_validate(LOCAL), SIZING)
    files = render_rules(renderer, context, tmp_path)
    url = "https://github.com/madfam-io/renecinfra/blob/main/docs/runbooks/HarvestStale.md"
    wanted = {
        "exp_labels": {
            "severity": "critical",
            "job": "postgresql",
            "role": "primary",
            "instance": "postgresql-primary",
        },
        "exp_annotations": {
            "summary": "The register is older than promised",
            "description": "The last good harvest ended 1d 3h 0m 0s ago.",
            "runbook_url": url,
        },
    }
    series = case("HarvestStale", context)["fires"]["series"]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "1h", "alertname": "HarvestStale", "exp_alerts": [wanted]}],
    }
    suite = tmp_path / "suite.json"
    suite.write_text(
        json.dumps({"evaluation_interval": "5m", "rule_files": [str(f) for f in files], "tests": [test]})
    )
    done = promtool("test", "rules", suite)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_both_cases() -> None:
    assert sorted(path.name.removesuffix(".yaml.j2") for path in CASES.iterdir()) == ALERTS
    context = rule_context(Profile.model_validate(LOCAL), SIZING)
    for alert in ALERTS:
        kinds = {"fires"} if alert == "Watchdog" else {"fires", "quiet"}
        assert set(case(alert, context)) == kinds, alert


@pytest.mark.parametrize("sizing", [SIZING, PROD_SIZING])
def test_queue_limit_follows_the_number_of_workers(sizing: Sizing) -> None:
    limit = rule_context(Profile.model_validate(LOCAL), sizing)["queue_limit"]
    assert limit == 10 * sizing.worker_replicas * sizing.worker_concurrency
