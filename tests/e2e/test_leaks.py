"""No secret is anywhere but in the 0600 files that need it.

Every secret of the environment is a canary: its values are asked of OpenBao itself, then every byte that the
commands and the services wrote is searched for each form of each.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from renecinfra.profiles.loading import load
from renecinfra.reporting import SilentReporter
from renecinfra.secrets import openbao
from renecinfra.workspace import Workspace

pytestmark = pytest.mark.e2e


def values(cli):
    """Each secret's current value, and what opens OpenBao."""
    from renecinfra.provision.session import Session

    workspace = Workspace(cli.workspace)
    session = Session(workspace, load(workspace, cli.environment, ()), SilentReporter())
    found = {name: secret.value.reveal() for name, secret in session.existing_secrets().items()}
    assert len(found) >= 6, "the environment has passwords of PostgreSQL, Redis and the API at least"
    kept = session.paths.openbao
    for name, field in ((openbao.APPROLE, "secret_id"), (openbao.RECOVERY, "key")):
        found[name] = json.loads((kept / name).read_text())[field]
    found[openbao.SEAL_KEY] = (kept / openbao.SEAL_KEY).read_text()
    for certificate in sorted(cli.home.glob("data/certificates/**/tls.pem")):
        # A line of the key that is there whatever is around it.
        found[str(certificate)] = certificate.read_text().splitlines()[1]
    return found | getattr(cli, "former", {})


def forms(cli):
    """Every way in which a value may have been written."""
    for name, value in values(cli).items():
        raw = value.encode()
        written = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
        written |= {
            base64.b64encode(raw).decode().rstrip("="),
            base64.urlsafe_b64encode(raw).decode().rstrip("="),
        }
        for form in written:
            yield name, form.encode()


def leaks(cli, roots):
    """Files that hold a secret, each with the secret's name."""
    known = list(forms(cli))
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                for name, form in known:
                    if form in content:
                        yield path, name


def expected(cli, path):
    """What opens OpenBao or the backups, installed secret files, and what services keep as their data."""
    inside = (cli.home / "data") in path.parents or (cli.home / "etc") in path.parents
    private = stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    kept = path == cli.state / "backup.key"  # it opens the backups, which outlive OpenBao
    return private and (inside or kept or path.parent == cli.state / "openbao")


def outliving(cli):
    """Where backups are, for root beside the home."""
    place = cli.home.with_name(f"{cli.home.name}.backups")
    return [place] if place.is_dir() else []


def output(done):
    return f"{done.stdout}\n{done.stderr}".encode()


@pytest.fixture(scope="module")
def exercised(environment):
    """The environment after every command that handles secrets, a failed one too, and all they printed."""
    name = environment.environment
    environment.former = {f"former {secret}": value for secret, value in values(environment).items()}
    printed = [
        output(environment.run("secrets", name, "rotate", "database_password", "--yes", "--debug")),
        output(environment.run("up", name, "--yes", "--debug")),
        output(environment.run("plan", name, "--set", "cache.cache.max_memory=96Mi", "--debug")),
        output(environment.run("status", name)),
        output(environment.run("render", name, "--diff")),
        output(environment.run("secrets", name, "list")),
        output(environment.run("secrets", name, "check", "--debug")),
        output(environment.run("secrets", name, "policy")),
        output(environment.run("backup", name, "create", "--type", "full", "--debug")),
        output(environment.run("backup", name, "verify", "--debug")),
        output(environment.run("backup", name, "list", "--json")),
        output(environment.run("backup", name, "broker", "--restore", "20200101-000000", "--yes", "--debug")),
        *(output(environment.run("logs", name, s["name"])) for s in environment.status()["services"]),
    ]
    # PostgreSQL refuses to start with this, so that an `up` fails while it holds every secret.
    failing = environment.run("up", name, "--yes", "--debug", "--set", "database.shared_buffers=1Ti")
    assert failing.returncode not in (0, 70), failing.stderr
    printed.append(output(failing))
    printed.append(environment.ok("up", name, "--yes").encode())
    return environment, printed


def test_no_secret_is_in_a_file_that_does_not_need_it(exercised):
    environment, _ = exercised
    found = {
        (str(path), name)
        for path, name in leaks(
            environment, [environment.workspace, environment.home, *outliving(environment)]
        )
        if not expected(environment, path)
    }
    assert found == set()


def test_no_secret_is_printed(exercised):
    environment, printed = exercised
    assert [name for name, form in forms(environment) if any(form in text for text in printed)] == []


def test_no_process_has_a_secret_in_its_arguments_or_in_an_environment_that_needs_it_not(exercised):
    environment, _ = exercised
    known = list(forms(environment))
    services = set()
    for pid in environment.marked():
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert [name for name, form in known if form in command] == [], command
        variables = Path(f"/proc/{pid}/environ").read_bytes()
        marker = next((v for v in variables.split(b"\0") if v.startswith(b"RENECINFRA_SERVICE=")), b"")
        service = marker.decode().rpartition("/")[2]
        services.add(service)
        etc = environment.home / "etc" / service
        # What a service was given in a file of its own for its environment, it may have there.
        own = b"".join(file.read_bytes() for file in etc.glob("*.env")) if service else b""
        assert {name for name, form in known if form in variables and form not in own} == set(), command
    # nginx overwrites its environment, so it cannot be told from that.
    assert {"openbao", "certificates", "redis-broker", "api-1", "supervisor"} <= services


def test_a_crash_shows_no_secret(environment):
    """A bug of ours, with every secret in the frames below it."""
    program = (
        "import sys\n"
        "from renecinfra.provision import bring_up\n"
        "def crash(session, plan, **_):\n"
        "    values = {name: one.value.reveal() for name, one in plan.secrets.items()}\n"
        "    raise ValueError(str(values))\n"
        "bring_up.verify = crash\n"
        "from renecinfra.cli import main\n"
        f"sys.argv = ['renecinfra', 'up', {environment.environment!r}, '--yes', '--debug']\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env=os.environ | {"RENECINFRA_WORKSPACE": str(environment.workspace)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 70, done.stderr
    assert "[REDACTED]" in done.stdout + done.stderr
    assert [name for name, form in forms(environment) if form in output(done)] == []


def test_the_search_finds_a_leak_made_on_purpose(environment):
    planted = environment.state / "build" / "planted"
    try:
        for name, form in forms(environment):
            planted.write_bytes(b"x" + form)
            assert (planted, name) in list(leaks(environment, [planted.parent]))
            assert not expected(environment, planted)
    finally:
        planted.unlink(missing_ok=True)
