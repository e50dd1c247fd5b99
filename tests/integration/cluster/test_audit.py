"""`audit` looks at what the charts come to, with real Helm and without a cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from renecinfra.kubernetes.charts import THIRD_PARTY
from tests.cluster.charts import package

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.integration


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    for part in ("environments", "templates", "terraform"):
        shutil.copytree(ROOT / part, root / part)
    return root


def audit(workspace: Path, environment: str, *more: str, helm: str) -> tuple[int, dict, str]:
    done = subprocess.run(
        [sys.executable, "-m", "renecinfra", "audit", environment, "--json", *more],
        env={**os.environ, "RENECINFRA_WORKSPACE": str(workspace), "RENECINFRA_HELM": helm},
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("environment", ["prod", "staging", "onprem"])
def test_a_clean_environment_passes_with_its_objects(
    workspace: Path, environment: str, newest_tools: Path
) -> None:
    code, found, told = audit(workspace, environment, helm=str(newest_tools / "helm"))
    assert (code, [one["rule"] for one in found["findings"]]) == (0, []), told
    assert found["looked_at"]["objects"] >= 7
    # Charts of others are not here, and that is said of each.
    assert "kube-prometheus-stack-" in found["skipped"]["release kube-prometheus-stack"]


def test_a_violation_in_a_chart_of_others_is_found_by_release(
    workspace: Path, newest_tools: Path, tmp_path: Path
) -> None:
    helm = newest_tools / "helm"
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    package(helm, THIRD_PARTY["jaeger"], {}, mirror)
    code, found, told = audit(workspace, "onprem", "--set", f"releases.mirror={mirror}", helm=str(helm))
    assert "release jaeger" not in found["skipped"]
    wrong = [one for one in found["findings"] if "manifests/jaeger.yaml" in json.dumps(one)]
    assert wrong, told
    assert code == (0 if found["ok"] else 1)


def test_without_helm_it_says_what_it_did_not_see(workspace: Path) -> None:
    code, found, _ = audit(workspace, "prod", helm="/nowhere/helm")
    assert code == 0
    assert found["looked_at"]["objects"] == 0
    assert "helm" in found["skipped"]["releases"]


def test_a_chart_that_refuses_its_values_is_an_error(workspace: Path, newest_tools: Path) -> None:
    schema = workspace / "templates/charts/renec-harvester/values.schema.json"
    document = json.loads(schema.read_text())
    document["required"] = [*document.get("required", []), "what_no_template_gives"]
    schema.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-m", "renecinfra", "audit", "prod"],
        env={
            **os.environ,
            "RENECINFRA_WORKSPACE": str(workspace),
            "RENECINFRA_HELM": str(newest_tools / "helm"),
        },
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 7
    assert "values-invalid" in done.stderr
