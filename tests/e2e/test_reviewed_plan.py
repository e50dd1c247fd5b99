"""What was reviewed is what is applied; what changed without us is seen; what was done can be read."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

pytestmark = pytest.mark.e2e
SCHEMAS = Path(__file__).parents[2] / "docs" / "reference" / "schemas"
MORE = ("--set", "workloads.api.replicas=3")


def schema(name):
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


def test_an_equal_plan_is_applied_without_a_question_and_once(environment, tmp_path):
    name, saved, report = environment.environment, tmp_path / "plan.json", tmp_path / "report.json"
    planned = environment.run("plan", name, *MORE, "--out", str(saved), "--json", "--detailed-exitcode")
    assert planned.returncode == 2, planned.stderr
    document = json.loads(planned.stdout)
    jsonschema.validate(document, schema("plan"))
    graded = {change["address"]: change["grade"] for change in document["graded"]}
    assert graded['terraform_data.workload["api-3"]'] == "safe"
    assert document["grade"] != "stateful"

    environment.ok("up", name, *MORE, "--plan", str(saved), "--report", str(report))
    assert environment.run("plan", name, *MORE, "--detailed-exitcode").returncode == 0
    written = json.loads(report.read_text(encoding="utf-8"))
    jsonschema.validate(written, schema("report"))
    assert written["result"] == "ok"
    assert {"Rendering", "Planning", "Applying"} <= {step["name"] for step in written["steps"]}

    again = environment.run("up", name, *MORE, "--plan", str(saved), "--json")
    assert again.returncode == 4
    assert json.loads(again.stdout)["error"]["id"] == "plan-stale"

    fewer = json.loads(environment.ok("up", name, "--yes", "--json"))
    (gone,) = [c for c in fewer["plan"]["graded"] if c["address"] == 'terraform_data.workload["api-3"]']
    assert (gone["action"], gone["grade"]) == ("delete", "caution")


def test_drift_is_seen_with_who_and_is_gone_after_an_up(environment):
    name = environment.environment
    clean = environment.run("drift", name, "--json")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    jsonschema.validate(json.loads(clean.stdout), schema("drift"))
    target = environment.home / "etc" / "prometheus" / "rules" / "ApiDown.yaml"
    target.write_text(target.read_text().replace("severity: critical", "severity: info"))
    try:
        drifted = environment.run("drift", name, "--json")
        document = json.loads(drifted.stdout)
        jsonschema.validate(document, schema("drift"))
        assert drifted.returncode == 2
        items = {(item["layer"], item["address"]): item for item in document["items"]}
        assert items["file", "prometheus/rules/ApiDown.yaml"]["seen"] == "was changed"
        assert items["file", "prometheus/rules/ApiDown.yaml"]["who"]
        assert ("rules", "prometheus") in items
    finally:
        environment.ok("up", name, "--yes")
    assert environment.run("drift", name).returncode == 0


def test_the_history_says_who_did_what(environment):
    name = environment.environment
    runs = json.loads(environment.ok("history", name, "-n", "3", "--json"))["runs"]
    assert [run["command"] for run in runs] == ["drift", "up", "drift"]
    assert all(run["user"] and run["result"] == "ok" for run in runs)
    assert "drift" in environment.ok("history", name)
