"""Every auth method against a real OpenBao; it has none for AWS, so that login is looked at by itself."""

from __future__ import annotations

import base64
import json
import secrets
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt as jose
from joserfc.jwk import ECKey

from renecinfra import tls
from renecinfra.errors import ExitCode, SecretsError
from renecinfra.profiles.platform import VaultSecrets
from renecinfra.secrets.auth import login_source
from renecinfra.secrets.vault_types import MethodLogin, TokenLogin
from renecinfra.sensitive import Secret

from .conftest import TIMEOUT, Bao, json_answer

pytestmark = pytest.mark.integration
REFERENCE = "vault:database#password"
AUDIENCE = "https://vault.example.org:8200"
SUBJECT = "repo:example/renec:environment:prod"


def settings(bao: Bao, auth: str, **more: object) -> VaultSecrets:
    values = {"provider": "vault", "address": bao.address, "path": "renec/prod", "auth": auth, **more}
    return VaultSecrets.model_validate(values)


def resolve(bao: Bao, secrets_of: VaultSecrets, environ: dict[str, str]) -> str:
    """The reference's value, by the login that the profile and the environment say."""
    store = bao.store(login_source(secrets_of, environ, region=None))
    return store.resolve([REFERENCE])[REFERENCE].value.reveal()


@pytest.fixture
def policy(bao):
    bao.write("database", password="the value")
    name = f"reader-{secrets.token_hex(4)}"
    bao.root.write_policy(name, bao.reading("database"))
    return name


# --- tokens


def test_token_from_the_environment(bao, policy):
    token = bao.token(bao.reading("database")).reveal()
    assert resolve(bao, settings(bao, "token"), {"VAULT_TOKEN": f" {token}\n"}) == "the value"


def test_token_from_a_file(bao, policy, tmp_path):
    file = tmp_path / "token"
    file.write_text(bao.token(bao.reading("database")).reveal() + "\n")
    assert resolve(bao, settings(bao, "token"), {"VAULT_TOKEN_FILE": str(file)}) == "the value"


def test_token_that_vault_login_left(bao, policy, tmp_path):
    (tmp_path / ".vault-token").write_text(bao.token(bao.reading("database")).reveal())
    assert resolve(bao, settings(bao, "token"), {"HOME": str(tmp_path)}) == "the value"


def test_token_from_a_helper(bao, policy, tmp_path):
    helper = tmp_path / "helper"
    (tmp_path / "kept").write_text(bao.token(bao.reading("database")).reveal())
    helper.write_text(f'#!/bin/sh\n[ "$1 $VAULT_ADDR" = "get {bao.address}" ] && cat {tmp_path}/kept\n')
    helper.chmod(0o700)
    (tmp_path / ".vault").write_text(f'token_helper = "{helper}"\n')
    (tmp_path / ".vault-token").write_text("not this one")
    assert (
        resolve(bao, settings(bao, "token"), {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}) == "the value"
    )


def test_a_helper_that_fails_is_named(bao, policy, tmp_path):
    (tmp_path / ".vault").write_text('token_helper = "/nonexistent/helper"\n')
    with pytest.raises(SecretsError, match="/nonexistent/helper") as caught:
        resolve(bao, settings(bao, "token"), {"HOME": str(tmp_path)})
    assert caught.value.id == "vault-credentials-missing"


def test_no_token_says_where_it_was_looked_for(bao, policy, tmp_path):
    with pytest.raises(SecretsError, match="VAULT_TOKEN_FILE") as caught:
        resolve(bao, settings(bao, "token"), {"HOME": str(tmp_path)})
    assert caught.value.id == "vault-token-missing"
    assert REFERENCE in caught.value.message


# --- AppRole


@pytest.fixture
def approle(bao, policy):
    mount = bao.enable_auth("approle")
    bao.root.request(
        "POST", f"auth/{mount}/role/renec", {"token_policies": [policy], "secret_id_num_uses": 1}
    )
    role_id = bao.root.request("GET", f"auth/{mount}/role/renec/role-id")["data"]["role_id"]

    def secret_id() -> str:
        return bao.root.request("POST", f"auth/{mount}/role/renec/secret-id")["data"]["secret_id"]

    return mount, role_id, secret_id


def test_approle(bao, approle, tmp_path):
    mount, role_id, secret_id = approle
    file = tmp_path / "secret-id"
    file.write_text(secret_id())
    profile = settings(bao, "approle", auth_mount=mount, role=role_id)
    assert resolve(bao, profile, {"VAULT_SECRET_ID_FILE": str(file)}) == "the value"
    other = settings(bao, "approle", auth_mount=mount, role="by-name")
    environ = {"VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id()}
    assert resolve(bao, other, environ) == "the value"


def test_a_used_up_secret_id(bao, approle):
    mount, role_id, secret_id = approle
    environ = {"VAULT_SECRET_ID": secret_id()}
    profile = settings(bao, "approle", auth_mount=mount, role=role_id)
    assert resolve(bao, profile, environ) == "the value"
    started = time.monotonic()
    with pytest.raises(SecretsError) as caught:
        resolve(bao, profile, environ)
    assert time.monotonic() - started < TIMEOUT
    error = caught.value
    assert (error.id, error.exit_code) == ("vault-login-refused", ExitCode.SECRETS)
    assert REFERENCE in error.message
    assert "used up" in (error.hint or "")
    assert environ["VAULT_SECRET_ID"] not in error.message


def test_a_method_that_is_not_mounted(bao, policy):
    profile = settings(bao, "approle", auth_mount="nowhere", role="renec")
    with pytest.raises(SecretsError) as caught:
        resolve(bao, profile, {"VAULT_SECRET_ID": "an-example"})
    assert caught.value.id == "vault-login-refused"
    assert "auth/nowhere/" in (caught.value.hint or "")


def test_the_token_of_a_login_ends_with_the_client(bao, approle):
    mount, role_id, secret_id = approle
    profile = settings(bao, "approle", auth_mount=mount, role=role_id)
    client = bao.client(login_source(profile, {"VAULT_SECRET_ID": secret_id()}, region=None))
    accessor = client.lookup_self().accessor
    bao.root.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})
    client.close()
    with pytest.raises(SecretsError):
        bao.root.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})


def test_a_token_that_made_database_credentials_stays(bao, approle, monkeypatch):
    """OpenBao ends leases with the token that made them."""
    mount, role_id, secret_id = approle
    profile = settings(bao, "approle", auth_mount=mount, role=role_id)
    client = bao.client(login_source(profile, {"VAULT_SECRET_ID": secret_id()}, region=None))
    accessor = client.lookup_self().accessor
    lease = {"lease_id": "l", "lease_duration": 60, "renewable": True}
    answer = {**lease, "data": {"username": "u", "password": "a-password"}}
    with monkeypatch.context() as patch:
        patch.setattr(client, "request", lambda *_, **__: answer)
        assert client.database_credentials("database", "x").user == "u"
    client.close()
    bao.root.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})


# --- JWT


@pytest.fixture
def issuer(bao, policy):
    """A role bound to repository, branch and environment, and a way to be given tokens."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    mount = bao.enable_auth("jwt")
    bao.root.request("POST", f"auth/{mount}/config", {"jwt_validation_pubkeys": [public.decode()]})
    role = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": [AUDIENCE],
        "bound_claims_type": "string",
        "bound_claims": {"repository": "example/renec", "ref": "refs/heads/main", "environment": "prod"},
        "token_policies": [policy],
    }
    bao.root.request("POST", f"auth/{mount}/role/renec-prod-run", role)

    def issue(**claims: object) -> str:
        body = {
            "sub": SUBJECT,
            "aud": AUDIENCE,
            "repository": "example/renec",
            "ref": "refs/heads/main",
            "environment": "prod",
            "iat": int(time.time()),
            "exp": int(time.time()) + 300,
            **claims,
        }
        return jose.encode({"alg": "ES256"}, body, ECKey.import_key(private))

    return mount, issue


def test_jwt(bao, issuer):
    mount, issue = issuer
    profile = settings(bao, "jwt", auth_mount=mount, role="renec-prod-run")
    assert resolve(bao, profile, {"VAULT_JWT": issue()}) == "the value"


@pytest.mark.parametrize(
    "claims",
    [
        {"repository": "somebody/else"},
        {"ref": "refs/heads/other"},
        {"ref": "refs/pull/7/merge"},
        {"environment": "staging"},
        {"environment": None},
        {"aud": "https://another.example.org"},
        {"exp": 1},
    ],
)
def test_jwt_of_another_job(bao, issuer, claims):
    mount, issue = issuer
    profile = settings(bao, "jwt", auth_mount=mount, role="renec-prod-run")
    token = issue(**claims)
    with pytest.raises(SecretsError) as caught:
        resolve(bao, profile, {"VAULT_JWT": token})
    error = caught.value
    assert (error.id, error.exit_code) == ("vault-login-refused", ExitCode.SECRETS)
    assert REFERENCE in error.message
    assert "bound_claims" in (error.hint or "")
    assert token not in error.message


def test_jwt_signed_by_another(bao, issuer):
    mount, issue = issuer
    head, _, signature = issue().rpartition(".")
    profile = settings(bao, "jwt", auth_mount=mount, role="renec-prod-run")
    with pytest.raises(SecretsError) as caught:
        resolve(bao, profile, {"VAULT_JWT": f"{head}.{signature[::-1]}"})
    assert caught.value.id == "vault-login-refused"


def test_jwt_that_github_gives(bao, issuer, http_server):
    mount, issue = issuer

    def answer(request):
        assert request.headers["Authorization"] == "Bearer runner"
        assert request.path.endswith("&audience=https%3A%2F%2Fvault.example.org%3A8200")
        return json_answer(200, json.dumps({"value": issue()}))

    environ = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": http_server(answer) + "/token?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner",
    }
    profile = settings(bao, "jwt", auth_mount=mount, role="renec-prod-run", audience=AUDIENCE)
    assert resolve(bao, profile, environ) == "the value"


def test_jwt_that_github_does_not_give(bao, http_server):
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": http_server(lambda _: json_answer(403, "{}"))}
    with pytest.raises(SecretsError, match="GitHub gave no token") as caught:
        resolve(bao, settings(bao, "jwt", role="renec"), environ)
    assert "id-token: write" in (caught.value.hint or "")


# --- Kubernetes


def test_kubernetes(bao, policy, http_server, tmp_path):
    """The cluster's API, which OpenBao asks whose token it is, is played by the test."""

    def review(request):
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        token = body["spec"]["token"]
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        status = {
            "authenticated": True,
            "audiences": ["vault"],
            "user": {
                "username": claims["sub"],
                "uid": "a-uid",
                "groups": ["system:serviceaccounts"],
            },
        }
        return json_answer(201, json.dumps({"kind": "TokenReview", "status": status}))

    mount = bao.enable_auth("kubernetes")
    host = http_server(review)
    config = {
        "kubernetes_host": host,
        "kubernetes_ca_cert": tls.ensure(tmp_path / "tls", "localhost").authority,
        "disable_local_ca_jwt": True,
        "token_reviewer_jwt": "a.b.c",
    }
    bao.root.request("POST", f"auth/{mount}/config", config)
    role = {
        "bound_service_account_names": ["renec-deploy"],
        "bound_service_account_namespaces": ["renec"],
        "token_policies": [policy],
        "audience": "vault",
    }
    bao.root.request("POST", f"auth/{mount}/role/renec-prod-run", role)
    file = tmp_path / "token"
    profile = settings(bao, "kubernetes", auth_mount=mount, role="renec-prod-run")
    file.write_text(service_account("renec", "renec-deploy"))
    assert resolve(bao, profile, {"VAULT_KUBERNETES_TOKEN_FILE": str(file)}) == "the value"
    file.write_text(service_account("other", "renec-deploy"))
    with pytest.raises(SecretsError) as caught:
        resolve(bao, profile, {"VAULT_KUBERNETES_TOKEN_FILE": str(file)})
    assert caught.value.id == "vault-login-refused"


def service_account(namespace: str, name: str) -> str:
    key = ECKey.generate_key("P-256")
    claims = {
        "iss": "https://kubernetes.default.svc",
        "aud": ["vault"],
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "iat": int(time.time()) - 5,
        "nbf": int(time.time()) - 5,
        "exp": int(time.time()) + 600,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": "a-uid"}},
    }
    return jose.encode({"alg": "ES256"}, claims, key)


def test_kubernetes_outside_of_a_pod(bao, tmp_path):
    environ = {"VAULT_KUBERNETES_TOKEN_FILE": str(tmp_path / "none")}
    with pytest.raises(SecretsError, match="service account") as caught:
        resolve(bao, settings(bao, "kubernetes", role="renec"), environ)
    assert caught.value.id == "vault-credentials-missing"


# --- AWS


@pytest.fixture
def aws_credentials(monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


def test_aws_sends_what_sts_accepts(bao, aws_credentials, http_server):
    """Vault is played by the test; the signed request goes on to STS, as Vault sends it, played by moto."""
    from moto.server import ThreadedMotoServer
    from urllib3 import PoolManager

    received: dict[str, str] = {}

    def answer(request):
        if request.path.endswith("/login"):
            received.update(json.loads(request.rfile.read(int(request.headers["Content-Length"]))))
            return json_answer(200, json.dumps({"auth": {"client_token": "hvs.made"}}))
        return json_answer(200, json.dumps(KV_ANSWER))

    profile = settings(bao, "aws", role="renec-prod", audience="vault.example.org")
    client = bao.client(login_source(profile, {}, region="us-west-2"), address=http_server(answer))
    assert client.read_secret("kv", "x").data["password"].reveal() == "the value"
    assert received["role"] == "renec-prod"
    url, body, headers = (base64.b64decode(received[f"iam_request_{name}"]).decode() for name in PARTS)
    assert url == "https://sts.us-west-2.amazonaws.com/"
    signed = json.loads(headers)
    assert signed["X-Vault-AWS-IAM-Server-ID"] == "vault.example.org"
    assert "x-vault-aws-iam-server-id" in signed["Authorization"].partition("SignedHeaders=")[2].split(",")[0]
    assert "wJalrXUtnFEMI" not in headers
    sts = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    sts.start()
    try:
        host, port = sts.get_host_and_port()
        with PoolManager() as pool:
            response = pool.request("POST", f"http://{host}:{port}/", body=body, headers=signed)
        assert response.status == 200
        assert b"GetCallerIdentityResult" in response.data
    finally:
        sts.stop()


PARTS = ("url", "body", "headers")
KV_ANSWER = {
    "data": {
        "data": {"password": "the value"},
        "metadata": {"version": 1, "created_time": "2026-01-02T03:04:05.123456789Z"},
    }
}


def test_aws_without_credentials(bao, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SecretsError, match="no AWS credentials") as caught:
        resolve(bao, settings(bao, "aws", role="renec-prod"), {})
    assert caught.value.id == "vault-credentials-missing"


def test_logins_say_nothing_of_their_secrets():
    shown = repr(TokenLogin(Secret("hvs.hidden"), "VAULT_TOKEN"))
    shown += repr(MethodLogin("jwt", "jwt", {"jwt": Secret("eyJ.hidden")}, "VAULT_JWT"))
    assert "hidden" not in shown
