"""The job that looks into a restored database of a cluster: its form, and what its words mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from renecinfra.platforms.kubernetes.restore_check import Checked, findings, job
from renecinfra.profiles.loading import load
from renecinfra.workspace import Workspace
from tests.cluster import objects

ROOT = Path(__file__).parents[3]
ASSERTIONS = {"has-standards": "SELECT count(*) > 0 FROM standards", "is-fresh": "SELECT true"}


def made() -> dict[str, Any]:
    profile = load(Workspace(ROOT), "onprem", environ={}).profile
    profile = profile.model_copy(
        update={"backups": profile.backups.model_copy(update={"assertions": ASSERTIONS})}
    )
    return job(profile, Checked("renec-postgresql-20261124-103100", "postgresql:16")).manifest("renec")


@pytest.mark.parametrize("version", ["1.28", "1.33", "1.37"])
def test_kubernetes_takes_it(version: str) -> None:
    assert objects.problems_of_form(made(), version) == []


def test_it_may_run_where_only_restricted_pods_may_and_holds_no_secret() -> None:
    spec = objects.pod_spec(made())
    assert spec is not None
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    env = {one["name"]: one for one in container["env"]}
    assert "value" not in env["PGPASSWORD"]
    assert env["PGHOST"]["value"] == "renec-postgresql-20261124-103100-rw"
    assert env["ASSERTION_0"]["value"] == ASSERTIONS["has-standards"]


WHOLE = "version\t16.4\nrecovery\tf\ncontents\t3|120\n0\tt\n1\tt\n"


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (WHOLE, {}),
        (WHOLE.replace("1\tt", "1\tf"), {"is-fresh": "gives f and not true"}),
        (
            WHOLE.replace("1\tt", "1\tERROR:  relation does not exist "),
            {"is-fresh": "gives ERROR:  relation does not exist and not true"},
        ),
        (WHOLE.replace("recovery\tf", "recovery\tt"), {"opens": "t"}),
        (WHOLE.replace("3|120", "ERROR:  gone"), {"rows": "ERROR:  gone"}),
        (
            "",
            {
                "opens": "it said nothing",
                "rows": "they were not counted",
                "has-standards": "gives nothing and not true",
                "is-fresh": "gives nothing and not true",
            },
        ),
    ],
)
def test_what_a_message_means(message: str, wrong: dict[str, str]) -> None:
    found = findings(message, ASSERTIONS)
    assert [one.name for one in found] == ["opens", "rows", *ASSERTIONS]
    assert {one.name: one.detail for one in found if not one.ok} == wrong


def test_an_estimate_says_that_it_is_one() -> None:
    rows = findings(WHOLE.replace("3|120", "about|3|120"), ASSERTIONS)[1]
    assert (rows.ok, rows.detail) == (True, "about 120 rows in 3 tables")


def test_names_stay_short_enough() -> None:
    assert len(Checked("renec-postgresql-20261124-103100", "x").job) <= 63
