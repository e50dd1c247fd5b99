"""Each alert has its runbook, and each runbook its alert."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from renecinfra.platforms.local.monitoring import rule_context
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer

ROOT = Path(__file__).parents[3]
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES = ROOT / "templates" / "monitoring" / "rules"
ALERTS = sorted(path.name.removesuffix(".yaml.j2") for path in RULES.glob("[A-Z]*.yaml.j2"))
COMMANDS = {"backup", "drill", "history", "status", "logs", "restart", "up", "doctor", "render"}


def test_one_runbook_for_each_alert() -> None:
    assert sorted(path.stem for path in RUNBOOKS.glob("*.md") if path.stem != "index") == ALERTS


@pytest.mark.parametrize("alert", ALERTS)
def test_a_rule_file_holds_the_alert_of_its_name(alert: str) -> None:
    import yaml

    profile = Profile.model_validate({"environment": "local", "platform": {"kind": "local"}})
    context = rule_context(profile, Sizing(2, 1, 10, 1, 2, 20, 40, 100))
    name = f"{alert}.yaml.j2"
    file = Renderer(ROOT / "templates").file(f"monitoring/rules/{name}", f"{alert}.yaml", context)
    [group] = yaml.safe_load(file.text)["groups"]
    [rule] = group["rules"]
    assert group["name"] == rule["alert"] == alert
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"{profile.monitoring.runbook_url}/{alert}.md"


@pytest.mark.parametrize("alert", ALERTS)
def test_a_runbook_has_its_four_parts(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text()
    assert re.findall(r"^#+ .*", text, re.MULTILINE) == [
        f"# {alert}",
        "## Meaning",
        "## Impact",
        "## Diagnosis",
        "## Mitigation",
    ]
    assert all(part.strip() for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:])


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_runbooks_name_what_exists(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"`renecinfra (\w+)", text)) <= COMMANDS
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (RUNBOOKS / link).is_file(), link


def test_settings_that_runbooks_name_exist() -> None:
    roots = "monitoring|database|cache|workloads|edge|harvest"
    for page in RUNBOOKS.glob("*.md"):
        for path in re.findall(rf"`((?:{roots})\.[a-z_0-9.]+)`", page.read_text()):
            value: object = Profile.model_validate({"environment": "local", "platform": {"kind": "local"}})
            for part in path.split("."):
                assert hasattr(value, part), f"{page.name}: {path}"
                value = getattr(value, part)
