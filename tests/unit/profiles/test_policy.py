from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import pytest

from renecinfra.errors import ProfileError
from renecinfra.profiles import policy
from renecinfra.profiles.loading import load
from renecinfra.profiles.model import Profile
from renecinfra.profiles.policy.rule import Rule, is_loopback
from renecinfra.profiles.ports import listeners
from renecinfra.workspace import Workspace

ROOT = Path(__file__).parents[3]
CASES = Path(__file__).parent / "cases"
IDS = {file.name.split(".")[2] for file in CASES.glob("*.error.*.yaml")}


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> list[Profile]:
    """The profiles of the corpus that get as far as the rules."""
    root = tmp_path_factory.mktemp("rules")
    shutil.copytree(CASES / "bases", root / "environments")
    found: list[Profile] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "violations", lambda profile: found.append(profile) or [])
        for file in CASES.glob("*.error.*.yaml"):
            shutil.copyfile(file, root / "environments" / "case.yaml")
            with contextlib.suppress(ProfileError):
                load(Workspace(root), "case", environ={})
    return found


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: f"{rule.__module__}.{rule.__name__}")
def test_every_rule_is_broken_by_a_case(rule: Rule, reached: list[Profile]) -> None:
    broken = [violation for profile in reached for violation in rule(profile)]
    assert broken
    for violation in broken:
        assert violation.id.startswith("profile-")
        assert ".".join(violation.path) in violation.message


def test_shipped_profiles_break_no_rule() -> None:
    for name in ("local", "staging", "prod", "onprem"):
        assert policy.violations(load(ROOT, name, environ={}).profile) == []


def test_the_guide_explains_every_error() -> None:
    guide = (ROOT / "docs" / "guide" / "profiles.md").read_text()
    explained = set(re.findall(r"^\| `(profile-[a-z-]+)`", guide, re.MULTILINE))
    sources = (ROOT / "renecinfra" / "profiles").rglob("*.py")
    raised = {found for path in sources for found in re.findall(r'"(profile-[a-z-]+)"', path.read_text())}
    assert explained == raised
    assert raised >= IDS


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8080/x", True),
        ("https://127.0.0.1", True),
        ("http://127.9.9.9:1", True),
        ("api.localhost", True),
        ("https://localhost.example.org", False),
        ("https://conocer.gob.mx", False),
        ("http://10.0.0.1", False),
    ],
)
def test_loopback(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


def test_listeners_of_local() -> None:
    found = {listener.name: listener.port for listener in listeners(load(ROOT, "local", environ={}).profile)}
    assert found["edge"] == 8443
    assert (found["api-1"], found["api-2"]) == (8460, 8461)
    assert found["worker_metrics-1"] == 8480
    assert "ui" not in found
    assert "site" in found
    assert "postgresql_replica" in found
    alone = {
        listener.name for listener in listeners(load(ROOT, "local", ["database.replicas=0"], {}).profile)
    }
    assert "postgresql_replica" not in alone
    assert "postgresql_replica_exporter" not in alone


def test_the_register_may_be_harvested_at_two_requests_a_second_and_no_faster() -> None:
    site = "harvest.base_url=https://conocer.gob.mx"
    load(ROOT, "local", [site, "harvest.download_delay=500ms"], {})
    with pytest.raises(ProfileError, match=r"not 2\.5 requests a second"):
        load(ROOT, "local", [site, "harvest.download_delay=400ms"], {})
    load(ROOT, "local", ["harvest.base_url=http://localhost:9", "harvest.download_delay=0s"], {})
