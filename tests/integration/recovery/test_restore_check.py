"""What a cluster's job asks of a restored database, run against a real one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from renecinfra.platforms.kubernetes import restore_check

from .lab import Lab, as_client, running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
ASSERTIONS = {
    "holds": "SELECT count(*) = 3 FROM t",
    "does-not": "SELECT count(*) > 5 FROM t",
    "no-table": "SELECT true FROM nothing",
    "writes": "WITH d AS (DELETE FROM t RETURNING 1) SELECT count(*) = 3 FROM d",
    "quoted": """SELECT '$(touch /tmp/never) "`' <> ''""",
}


@pytest.fixture(scope="module")
def lab():
    with running(
        "CREATE TABLE t AS SELECT generate_series(1, 3) AS n",
        'CREATE SCHEMA "A b"; CREATE TABLE "A b"."C" AS SELECT 1 AS n',
    ) as made:
        yield made


def ask(lab: Lab, tmp_path: Path, **more: str) -> str:
    message = tmp_path / "message"
    who = {"PGUSER": "postgres", "PGDATABASE": "postgres"}
    subprocess.run(
        ["sh", "-c", restore_check.SCRIPT],
        env=as_client(lab, {**restore_check.variables(ASSERTIONS, str(message)), **who, **more}),
        check=True,
        timeout=60,
    )
    return message.read_text()


def test_what_is_there_is_found_and_nothing_is_written(lab, tmp_path):
    text = ask(lab, tmp_path)
    found = {one.name: one for one in restore_check.findings(text, ASSERTIONS)}
    assert found["opens"].ok
    assert found["rows"].detail == "4 rows in 2 tables"
    assert {name: found[name].ok for name in ASSERTIONS} == {
        "holds": True,
        "does-not": False,
        "no-table": False,
        "writes": False,
        "quoted": True,
    }
    assert "read-only transaction" in found["writes"].detail
    assert 'relation "nothing" does not exist' in found["no-table"].detail
    assert len(text.encode()) < 4096, "a longer message would be cut off"


def test_counting_that_takes_too_long_becomes_an_estimate(lab, tmp_path):
    lab.sql("ANALYZE")
    text = ask(lab, tmp_path, CONTENTS="SELECT pg_sleep(5)", PGOPTIONS="-c statement_timeout=100ms")
    rows = restore_check.findings(text, {})[1]
    assert (rows.ok, rows.detail) == (True, "about 4 rows in 2 tables")


def test_a_database_that_does_not_answer_is_not_right(lab, tmp_path):
    text = ask(lab, tmp_path, PGPORT="5498")
    found = restore_check.findings(text, ASSERTIONS)
    assert not any(one.ok for one in found)
    assert "No such file or directory" in found[0].detail
