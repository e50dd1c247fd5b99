"""Each rule of the modules, broken once: the module's own test notices, so that none of them is for show."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.aws.provider.mirror import Mirror
from tests.integration.aws.test_modules import copied, terraform

pytestmark = [pytest.mark.integration, pytest.mark.nightly]

MUTATIONS = yaml.safe_load(Path(__file__).with_name("mutations.yaml").read_text())
MODULES = sorted({mutation["module"] for mutation in MUTATIONS})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("module", MODULES)
def test_a_broken_rule_is_noticed(module: str, mirror: Mirror, tmp_path: Path):
    directory = copied(tmp_path) / "modules" / module
    assert terraform(directory, mirror, "init", "-input=false").returncode == 0
    survived = []
    for mutation in (one for one in MUTATIONS if one["module"] == module):
        file = directory / mutation["file"]
        text = file.read_text()
        assert mutation["from"] in text, f"{module}/{mutation['file']} has no {mutation['from']}"
        file.write_text(text.replace(mutation["from"], mutation["to"], 1))
        done = terraform(directory, mirror, "test")
        file.write_text(text)
        if done.returncode == 0:
            survived.append(mutation["from"])
        else:
            # The rule noticed, and not a mutation that is no HCL.
            assert "Test assertion failed" in done.stdout + done.stderr or "expected" in done.stderr, (
                mutation,
                done.stdout[-1500:],
                done.stderr[-1500:],
            )
    assert not survived
