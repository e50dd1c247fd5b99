"""The application's login as a job makes it in RDS, against a real server and an administrator like RDS'."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from renecinfra.platforms import database_login
from renecinfra.platforms.database_login import Login
from renecinfra.profiles.loading import load
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.workspace import Workspace

from .lab import Lab, as_client, running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def lab():
    with running(
        # RDS' administrator is no superuser.
        "CREATE ROLE renec_admin LOGIN CREATEROLE CREATEDB",
        "CREATE DATABASE renec OWNER renec_admin",
    ) as made:
        yield made


def login(password: str = "a-password-of-the-application", *overrides: str) -> Login:
    profile = load(Workspace(ROOT), "prod", overrides, environ={}).profile
    secrets = {profile.database.password: SecretVersion(Secret(password), 1)}
    return Login.of(profile, "db.example.org", secrets)


def make(lab: Lab, tmp_path: Path, wanted: Login, **more: str) -> str:
    message = tmp_path / "message"
    who = {
        "PGHOST": str(lab.socket),
        "PGUSER": "renec_admin",
        "PGSSLMODE": "disable",
        "APP_VERIFIER": wanted.verifier,
    }
    done = subprocess.run(
        ["sh", "-c", database_login.SCRIPT],
        env=as_client(lab, {**wanted.variables(str(message)), **who, **more}),
        check=False,
        timeout=60,
    )
    text = message.read_text()
    assert (done.returncode == 0) == (text == "done"), text
    return text


def of(lab: Lab, query: str) -> list[tuple[object, ...]]:
    with lab.connected() as connection:
        return list(connection.execute(query).fetchall())


def test_the_login_is_made_once_and_follows_what_is_wanted(lab, tmp_path):
    first = login()
    assert make(lab, tmp_path, first) == "done"
    (role,) = of(lab, "SELECT rolpassword, rolsuper, rolcanlogin FROM pg_authid WHERE rolname = 'renec'")
    assert role == (first.verifier, False, True)
    (owner,) = of(
        lab, "SELECT pg_get_userbyid(datdba), datacl::text FROM pg_database WHERE datname = 'renec'"
    )
    assert owner[0] == "renec"
    assert "{=" not in owner[1], "others may not even connect"
    assert of(lab, "SELECT setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = setrole") == [
        ([f"statement_timeout={first.timeout}"],)
    ]
    # It owns what the migrations make, in the schema that they make it in.
    lab.run(
        lab.programs["psql"], "-X", "-q", "-h", lab.socket, "-p", "5499", "-U", "renec", "-d", "renec",
        "-c", "CREATE TABLE made (n int); DROP TABLE made",
    )  # fmt: skip

    second = login("another-password-of-the-application", "database.statement_timeout=7s")
    assert make(lab, tmp_path, second) == "done"
    assert of(lab, "SELECT rolpassword FROM pg_authid WHERE rolname = 'renec'") == [(second.verifier,)]
    assert of(lab, "SELECT setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = setrole") == [
        (["statement_timeout=7000ms"],)
    ]


def test_what_the_server_refuses_is_said(lab, tmp_path):
    assert 'database "nothing" does not exist' in make(lab, tmp_path, login(), PGDATABASE="nothing")
    refused = make(lab, tmp_path, login(), APP_USER="renec_admin")
    assert "member of" in refused


def test_a_mark_changes_with_everything_that_counts():
    marks = {
        login().mark("db-ONE"),
        login().mark("db-TWO"),
        login("another-password-here").mark("db-ONE"),
        login("a-password-of-the-application", "database.statement_timeout=7s").mark("db-ONE"),
    }
    assert len(marks) == 4
    assert login().mark("db-ONE") in marks, "and with nothing else"
