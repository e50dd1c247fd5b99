"""`secrets` as people and CI call it: output, exit codes, and never a value."""

from __future__ import annotations

import io
import json
import sys

import pytest

from renecinfra import cli
from renecinfra.cli.secrets import app
from renecinfra.redaction import redactor
from renecinfra.sensitive import Secret

from .conftest import ROOT, free_port

pytestmark = pytest.mark.integration
PROFILE = """\
extends: base
environment: demo
platform: {{kind: kubernetes, context: demo, storage_class: local-path}}
secrets:
  provider: vault
  address: {address}
  mount: {mount}
  path: renec/prod
  timeout: 1s
database: {{password: "vault:database#password"}}
cache: {{password: "vault:redis#password"}}
workloads:
  api: {{key: "vault:api#key", image: "registry.example.org/renec/api:1.4.0"}}
  worker: {{image: "registry.example.org/renec/worker:1.4.0"}}
  beat: {{image: "registry.example.org/renec/worker:1.4.0"}}
  migrations: {{image: "registry.example.org/renec/api:1.4.0"}}
harvest: {{base_url: "https://conocer.gob.mx"}}
backups: {{enabled: false}}
edge: {{host: renec.example.org, tls: cert-manager}}
"""
CANARY = "canary-5f0c-value"


@pytest.fixture
def run(bao, tmp_path, monkeypatch, capsys):
    """Runs a command in a workspace whose profile has its secrets in the test's mount."""
    monkeypatch.setenv("RENECINFRA_WORKSPACE", str(tmp_path))
    monkeypatch.setenv(
        "VAULT_TOKEN",
        bao.token(f'path "{bao.mount}/*" {{ capabilities = ["create", "read", "update"] }}').reveal(),
    )
    # A cluster does not reach a Vault on this machine; the test's is there.
    monkeypatch.setattr("renecinfra.profiles.policy.secrets.is_cluster", lambda _: False)
    (tmp_path / "environments").mkdir()
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    (tmp_path / "environments" / "base.yaml").write_bytes((ROOT / "environments" / "base.yaml").read_bytes())

    def call(*arguments, value=None, address=bao.address):
        text = PROFILE.format(address=address, mount=bao.mount)
        (tmp_path / "environments" / "demo.yaml").write_text(text)
        monkeypatch.setattr(sys, "stdin", io.StringIO(value or ""))
        monkeypatch.setattr(sys, "argv", ["renecinfra", *arguments])
        code = cli._run(list(arguments))
        output = capsys.readouterr()
        assert code != 3, output.err
        assert CANARY not in output.out + output.err
        assert redactor.hidden == 0, "no value should get as far as the redactor"
        return code, output.out, output.err

    return call


def fill(bao):
    bao.write("database", password=CANARY)
    bao.write("redis", password=CANARY)
    bao.write("api", key=CANARY)


def test_check(bao, run):
    fill(bao)
    code, out, _ = run("secrets", "demo", "check")
    assert code == 0
    assert out.count("✓") == 3
    bao.root.delete_versions(bao.mount, "renec/prod/redis", [1])
    code, out, err = run("secrets", "demo", "check")
    assert code == 5
    assert "is deleted" in " ".join(out.split())
    assert "undelete" in err
    code, out, _ = run("secrets", "demo", "check", "--json")
    found = {one["reference"]: one["error"] for one in json.loads(out)["references"]}
    assert code == 5
    assert found["vault:redis#password"]["id"] == "vault-version-deleted"
    assert found["vault:api#key"] is None


def test_a_vault_that_is_down_is_one_error(run):
    code, out, err = run("secrets", "demo", "check", address=f"http://127.0.0.1:{free_port()}")
    assert code == 5
    assert not out
    assert err.count("error[vault-unreachable]") == 1
    assert "vault:api#key" in err


def test_list(bao, run):
    fill(bao)
    bao.write("api", key="another")
    code, out, _ = run("secrets", "demo", "list", "--json")
    assert code == 0
    listed = {one["reference"]: one for one in json.loads(out)["references"]}
    assert listed["vault:api#key"]["version"] == 2
    assert listed["vault:api#key"]["used_by"] == ["workloads.api.key"]
    assert listed["vault:database#password"]["created"].endswith("+00:00")
    _, out, _ = run("secrets", "demo", "list")
    assert "workloads.api.key" in out


def test_put(bao, run, tmp_path):
    code, out, _ = run("secrets", "demo", "put", "workloads.api.key", "--cas", "0", value=f"{CANARY}\n")
    assert (code, "version 1" in out) == (0, True)
    assert bao.root.read_secret(bao.mount, "renec/prod/api").data["key"] == Secret(CANARY)
    code, _, err = run("secrets", "demo", "put", "vault:api#key", "--cas", "0", value="other")
    assert code == 5
    assert "error[secret-changed]" in err
    journal = (tmp_path / ".renecinfra" / "demo" / "journal.jsonl").read_text()
    assert "put vault:api#key" in journal
    assert CANARY not in journal


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("api#kee", "x", "secret-unknown"), ("api#key", "", "secret-empty"), ("api#key", "\n", "secret-empty")],
)
def test_put_refuses(bao, run, name, value, expected):
    code, _, err = run("secrets", "demo", "put", name, value=value)
    assert code == 64
    assert f"error[{expected}]" in err
    assert bao.root.list_paths(bao.mount) == []


def test_policy_contacts_no_vault(bao, run):
    code, out, _ = run("secrets", "demo", "policy", address=f"http://127.0.0.1:{free_port()}")
    assert code == 0
    assert f'path "{bao.mount}/data/renec/prod/api"' in out
    code, out, _ = run("secrets", "demo", "policy", "--for", "ci", "--role", "--repository", "example/renec")
    assert json.loads(out)["bound_claims"] == {"repository": "example/renec"}
    code, out, _ = run("secrets", "demo", "policy", "--repository", "example/renec", "--json")
    assert json.loads(out)["role"]["bound_claims"]["environment"] == "demo"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--for", "everyone"), "purpose-unknown"),
        (("--role",), "repository-missing"),
        (("--repository", "renec"), "repository-invalid"),
    ],
)
def test_policy_refuses(run, arguments, expected):
    code, _, err = run("secrets", "demo", "policy", *arguments)
    assert code == 64
    assert f"error[{expected}]" in err


def test_render(run, tmp_path):
    code, _, _ = run("render", "demo")
    assert code == 0
    build = tmp_path / ".renecinfra" / "demo" / "build"
    assert (build / "kubernetes" / "secrets" / "api.yaml").is_file()
    assert (build / "kubernetes" / "certificates" / "issuer.yaml").is_file()
    assert run("render", "demo", "--check")[0] == 0


def test_the_group_has_help():
    assert {command.name or command.callback.__name__ for command in app.registered_commands} >= {
        "check",
        "list",
        "put",
        "policy",
    }


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("typed", "code"), [((CANARY, CANARY), 0), ((CANARY, "another"), 64)])
def test_put_asks_twice_on_a_terminal(bao, run, monkeypatch, typed, code):
    answers, asked = iter(typed), []
    monkeypatch.setattr("io.StringIO", Terminal)
    monkeypatch.setattr("getpass.getpass", lambda prompt: (asked.append(prompt), next(answers))[1])
    found, _, err = run("secrets", "demo", "put", "vault:api#key")
    assert found == code
    assert "vault:api#key" in asked[0]
    if code:
        assert "error[secret-mistyped]" in err
        assert bao.root.list_paths(bao.mount) == []
    else:
        assert bao.root.read_secret(bao.mount, "renec/prod/api").data["key"] == Secret(CANARY)


def test_generated_secrets_have_no_versions(run, tmp_path, monkeypatch):
    """`generated` is for the local platform, whose own references need no machine that can run it."""
    from renecinfra.provision.secrets import SecretsWork
    from renecinfra.secrets.generated import GeneratedStore

    monkeypatch.setattr(SecretsWork, "references", ("generated:api_key", "generated:other"))
    monkeypatch.setattr(SecretsWork, "store", GeneratedStore(tmp_path / "secrets.json"))
    code, out, _ = run("secrets", "demo", "check", "--json")
    assert code == 0
    assert {one["version"] for one in json.loads(out)["references"]} == {None}
    assert not (tmp_path / "secrets.json").exists()
    GeneratedStore(tmp_path / "secrets.json").resolve(["generated:api_key"])
    _, out, _ = run("secrets", "demo", "list", "--json")
    assert [one["version"] for one in json.loads(out)["references"]] == [1, None]
    code, _, err = run("secrets", "demo", "put", "api_key", value="x")
    assert code == 5
    assert "error[secrets-generated]" in err
