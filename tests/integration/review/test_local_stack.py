"""The catalogue on the local stack: edit a profile, render, plan with real Terraform, grade.

Terraform's state is real; the services that it would start are not, because its control command is `true`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from renecinfra.platforms.local.environment import STACK, LocalEnvironment
from renecinfra.profiles.loading import load
from renecinfra.rendering import Bundle
from renecinfra.review import grading
from renecinfra.review.change import Review, review
from renecinfra.review.grades import load_grades
from renecinfra.terraform.adapter import Terraform
from renecinfra.terraform.binary import find_terraform
from renecinfra.workspace import Workspace

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
GRADES = load_grades(ROOT / "templates")


@dataclass
class Lab:
    workspace: Workspace
    terraform: Terraform
    directory: Path

    def bundle(self, *overrides: str, version: int = 1) -> Bundle:
        environment = LocalEnvironment(self.workspace, load(self.workspace, "case", overrides).profile)
        return environment.bundle(dict.fromkeys(environment.references(), version))

    def write(self, bundle: Bundle) -> None:
        for path, file in bundle.items():
            if path.startswith(f"{STACK}/"):
                text = file.text
                if path.endswith(".tfvars.json"):
                    text = json.dumps(json.loads(text) | {"python": "/bin/true"})
                (self.directory / path.removeprefix(f"{STACK}/")).write_text(text, encoding="utf-8")

    def review(self, bundle: Bundle, *, destroy: bool = False) -> Review:
        self.write(bundle)
        out = self.directory / "plan"
        self.terraform.plan(out, destroy=destroy)
        return review("case", grading.terraform_changes(self.terraform.show(out), GRADES))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("stack")
    root = tmp_path_factory.mktemp("workspace")
    for part in ("environments", "templates", "terraform"):
        shutil.copytree(ROOT / part, root / part)
    (root / "environments" / "case.yaml").write_text(
        "environment: case\nextends: local\nsecrets: {provider: generated}\n"
    )
    made = Lab(
        Workspace(root), Terraform(find_terraform(os.environ), directory, environ=os.environ), directory
    )
    made.write(made.bundle())
    made.terraform.init()
    made.terraform.plan(directory / "first")
    made.terraform.apply(directory / "first")
    yield made


def grades(made: Review) -> dict[str, str]:
    return {change.address: f"{change.action} {change.grade.word}" for change in made.changes}


def service(layer: str, name: str) -> str:
    return f'terraform_data.{layer}["{name}"]'


API_3 = service("workload", "api-3")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["workloads.api.replicas=3"], {API_3: "create safe"}),
        (["workloads.api.replicas=1"], {service("workload", "api-2"): "delete caution"}),
        (["database.replicas=0"], {service("replication", "postgresql-replica"): "delete caution"}),
        (["database.shared_buffers=96Mi"], {service("foundation", "postgresql-primary"): "replace caution"}),
        (["cache.broker.max_memory=96Mi"], {service("foundation", "redis-broker"): "replace caution"}),
        (["cache.cache.max_memory=96Mi"], {service("foundation", "redis-cache"): "replace caution"}),
        (["edge.gzip=false"], {}),
        (["database.pooler.pool_size=11"], {}),
        (["monitoring.retention=3d"], {service("foundation", "prometheus"): "replace caution"}),
        (["workloads.beat.enabled=false"], {service("workload", "beat"): "delete caution"}),
        (["workloads.worker.concurrency=3"], {service("workload", "worker-1"): "replace caution"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_edited_profile(lab: Lab, overrides: list[str], expected: dict[str, str]) -> None:
    found = grades(lab.review(lab.bundle(*overrides)))
    assert expected.items() <= found.items()
    assert not [one for one in found.values() if one.endswith("stateful")]


def test_nothing_to_do_and_new_versions_of_secrets(lab: Lab) -> None:
    assert not lab.review(lab.bundle()).changes
    found = grades(lab.review(lab.bundle(version=2)))
    assert found[service("workload", "api-1")] == "replace caution"
    assert set(found.values()) == {"replace caution"}


def test_the_end_of_everything_that_has_data_is_stateful(lab: Lab) -> None:
    found = grades(lab.review(lab.bundle(), destroy=True))
    stateful = {address for address, grade in found.items() if grade == "delete stateful"}
    names = {address.partition('["')[2].removesuffix('"]') for address in stateful}
    assert names == {"postgresql-primary", "redis-broker", "prometheus"}
    assert set(found.values()) <= {"delete stateful", "delete caution", "delete safe"}
