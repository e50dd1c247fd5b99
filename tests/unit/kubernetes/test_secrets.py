"""What is rendered for clusters: objects that refer to Vault, least rights, and no value anywhere."""

from __future__ import annotations

import base64
import functools
import gzip
import json
import os
from pathlib import Path

import jsonschema
import pytest
import yaml

from renecinfra.errors import SecretsError
from renecinfra.kubernetes.consumers import consumers
from renecinfra.kubernetes.secrets import secret_objects, secrets_from_memory
from renecinfra.profiles.loading import load
from renecinfra.profiles.policy.secrets import references as references_of
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.workspace import Workspace

ROOT = Path(__file__).parents[3]
CLUSTERS = ("prod", "staging", "onprem")


@functools.cache
def profile_of(name, *overrides):
    return load(Workspace(ROOT), name, overrides, environ={}).profile


def objects_of(name, *overrides, root=ROOT):
    bundle = secret_objects(profile_of(name, *overrides), Renderer(ROOT / "templates"), root)
    return [document for file in bundle.values() for document in yaml.safe_load_all(file.text)]


def by_kind(documents, kind):
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


@pytest.fixture(scope="session")
def schemas():
    place = os.environ.get("RENECINFRA_CRD_SCHEMAS")
    if not place:
        pytest.skip("RENECINFRA_CRD_SCHEMAS names no file of schemas")
    with gzip.open(place, "rt", encoding="utf-8") as stream:
        return json.load(stream)


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("overrides", [(), ("secrets.namespace=team/renec",)])
def test_custom_resources_are_what_their_definitions_say(schemas, name, overrides):
    checked = 0
    for one in objects_of(name, *overrides):
        schema = schemas.get(f"{one['apiVersion']}/{one['kind']}")
        if schema is not None:
            jsonschema.Draft202012Validator(schema).validate(one)
            checked += 1
    assert checked >= len(consumers(profile_of(name)))


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_reference_reaches_a_consumer(name):
    external = by_kind(objects_of(name), "ExternalSecret").values()
    found = {
        f"vault:{item['remoteRef']['key']}#{item['remoteRef']['property']}"
        for one in external
        for item in one["spec"]["data"]
    }
    base = profile_of(name).secrets.path
    wanted = {
        reference.replace("vault:", f"vault:{base}/")
        for reference in references_of(profile_of(name)).values()
    }
    assert found == wanted


def test_a_consumer_gets_its_own_secrets_only():
    wanted = consumers(profile_of("prod", "workloads.ui.secret_environment.SESSION_KEY=vault:ui#session"))
    assert wanted["ui"] == {"SESSION_KEY": "vault:ui#session"}
    assert set(wanted["migrations"]) == {"DATABASE_PASSWORD"}
    assert "RENEC_API_KEY" not in wanted["worker"]
    assert set(wanted["alerting"]) == {"on-call", "team"}


def test_a_version_is_kept():
    external = by_kind(objects_of("prod", "workloads.api.key=vault:api#key@3"), "ExternalSecret")
    items = {item["secretKey"]: item["remoteRef"] for item in external["renec-api"]["spec"]["data"]}
    assert items["RENEC_API_KEY"] == {"key": "renec/prod/api", "property": "key", "version": "3"}
    assert "version" not in items["DATABASE_PASSWORD"]


def test_the_operators_log_in_as_accounts_of_their_own():
    documents = objects_of("onprem", "secrets.delivery.auth_mount=kubernetes-onprem")
    store = by_kind(documents, "SecretStore")["renec-vault"]["spec"]["provider"]["vault"]["auth"][
        "kubernetes"
    ]
    issuer = by_kind(documents, "Issuer")["renec-vault"]["spec"]["vault"]["auth"]["kubernetes"]
    assert store["mountPath"] == "kubernetes-onprem"
    assert issuer["mountPath"] == "/v1/auth/kubernetes-onprem"
    assert store["role"] != issuer["role"]
    accounts = by_kind(documents, "ServiceAccount")
    assert {store["serviceAccountRef"]["name"], issuer["serviceAccountRef"]["name"]} == set(accounts)
    (rule,) = by_kind(documents, "Role")["renec-certificates"]["rules"]
    assert rule["resourceNames"] == [issuer["serviceAccountRef"]["name"]]


def test_the_certificate_is_renewed_before_two_thirds():
    certificate = by_kind(objects_of("onprem", "edge.certificate_ttl=10d"), "Certificate")["renec-edge"][
        "spec"
    ]
    assert 100 - certificate["renewBeforePercentage"] < 200 / 3
    assert certificate["duration"] == "864000s"
    assert certificate["dnsNames"] == [profile_of("onprem").edge.host]


def test_acm_needs_no_issuer():
    assert not by_kind(objects_of("prod"), "Issuer")
    assert by_kind(objects_of("onprem"), "Issuer")


def test_applied_renders_no_external_secrets():
    documents = objects_of("onprem", "secrets.delivery.kind=applied")
    assert not by_kind(documents, "ExternalSecret") | by_kind(documents, "SecretStore")
    assert by_kind(documents, "Certificate")


def test_secrets_from_memory_show_nothing():
    profile = profile_of("prod")
    resolved = {one: SecretVersion(Secret("value of x"), 1) for one in references_of(profile).values()}
    made = secrets_from_memory(profile, resolved)
    assert {one["metadata"]["name"] for one in made} == {f"renec-{name}" for name in consumers(profile)}
    values = [value for one in made for value in one["data"].values()]
    assert {base64.b64decode(value.reveal()) for value in values} == {b"value of x", b"value%20of%20x"}
    assert base64.b64encode(b"value of x").decode() not in repr(made)


def test_the_ca_goes_along(tmp_path):
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    documents = objects_of("onprem", "secrets.ca_file=ca.pem", root=tmp_path)
    bundle = by_kind(documents, "SecretStore")["renec-vault"]["spec"]["provider"]["vault"]["caBundle"]
    assert base64.b64decode(bundle) == b"-----BEGIN CERTIFICATE-----\n"
    assert by_kind(documents, "Issuer")["renec-vault"]["spec"]["vault"]["caBundle"] == bundle


def test_a_ca_that_is_not_there(tmp_path):
    with pytest.raises(SecretsError) as caught:
        objects_of("onprem", "secrets.ca_file=ca.pem", root=tmp_path)
    assert caught.value.id == "vault-ca-unreadable"
