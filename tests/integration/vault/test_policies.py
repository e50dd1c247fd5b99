"""The policies that are printed are enough for what they are for, and for no more; a real OpenBao says so."""

from __future__ import annotations

import secrets

import pytest

from renecinfra.errors import SecretsError
from renecinfra.profiles.loading import load
from renecinfra.profiles.policy.secrets import references as references_of
from renecinfra.secrets.policy import Purpose, jwt_role, kubernetes_role, policy
from renecinfra.secrets.references import layout_of
from renecinfra.secrets.vault_store import VaultStore
from renecinfra.sensitive import Secret
from renecinfra.workspace import Workspace

from .conftest import ROOT

pytestmark = pytest.mark.integration


@pytest.fixture
def profile(bao):
    """Production, in the test's own mount."""
    return load(Workspace(ROOT), "prod", [f"secrets.mount={bao.mount}"], environ={}).profile


@pytest.fixture
def references(profile, bao):
    found = sorted(set(references_of(profile).values()))
    layout = layout_of(profile)
    for reference in found:
        VaultStore(bao.root, layout).put(reference, Secret(f"value of {reference}"))
    return found


@pytest.fixture
def holding(bao, profile, references):
    """A store that holds nothing but the policy of a purpose."""

    def make(purpose):
        name = f"made-{secrets.token_hex(4)}"
        bao.root.write_policy(name, policy(profile, references, purpose))
        body = {"policies": [name], "no_default_policy": True}
        token = bao.root.request("POST", "auth/token/create", body)["auth"]["client_token"]
        return VaultStore(bao.client(Secret(token)), layout_of(profile))

    return make


def test_run_reads_everything_and_writes_nothing(holding, references):
    store = holding(Purpose.RUN)
    assert all(one.error is None for one in store.check(references))
    assert len(store.read_versions(references)) == len(references)
    assert store.client.lookup_self().policies
    with pytest.raises(SecretsError) as caught:
        store.put(references[0], Secret("other"))
    assert caught.value.id == "vault-denied"


def test_run_reads_nothing_else(holding, bao):
    bao.write("another", field="x")
    store = holding(Purpose.RUN)
    for place in ("another", ""):
        with pytest.raises(SecretsError) as caught:
            store.client.list_paths(bao.mount, f"renec/prod/{place}")
        assert caught.value.id == "vault-denied"
    assert store.check(["vault:another#field"])[0].error.id == "vault-denied"


def test_write_makes_new_versions(holding, references, bao):
    store = holding(Purpose.WRITE)
    assert store.put(references[0], Secret("other")) >= 2
    assert store.check([references[0]])[0].error is None
    with pytest.raises(SecretsError):
        store.client.request("DELETE", f"{bao.mount}/metadata/renec/prod/api")


def test_ci_sees_versions_and_no_value(holding, references, bao, profile):
    store = holding(Purpose.CI)
    assert set(store.read_versions(references)) == set(references)
    assert {one.error.id for one in store.check(references)} == {"vault-denied"}


def test_ci_sees_no_value_even_with_a_policy_that_reads_all(bao, profile, references):
    names = [f"both-{secrets.token_hex(4)}" for _ in range(2)]
    bao.root.write_policy(names[0], policy(profile, references, Purpose.CI))
    bao.root.write_policy(names[1], f'path "{bao.mount}/*" {{ capabilities = ["read"] }}')
    token = bao.root.request("POST", "auth/token/create", {"policies": names})["auth"]["client_token"]
    store = VaultStore(bao.client(Secret(token)), layout_of(profile))
    assert {one.error.id for one in store.check(references)} == {"vault-denied"}


def test_cluster_reads_values_and_no_metadata(holding, references):
    store = holding(Purpose.CLUSTER)
    assert all(one.error is None for one in store.check(references))
    with pytest.raises(SecretsError):
        store.read_versions(references)


def test_the_roles_are_what_a_vault_takes(bao, profile):
    mount = bao.enable_auth("jwt")
    for purpose in (Purpose.CI, Purpose.RUN):
        role = jwt_role(profile, purpose, "example/renec", "main")
        bao.root.request("POST", f"auth/{mount}/role/x-{purpose}", role)
        stored = bao.root.request("GET", f"auth/{mount}/role/x-{purpose}")["data"]
        assert stored["bound_claims"] == role["bound_claims"]
        assert stored["token_no_default_policy"]
    mount = bao.enable_auth("kubernetes")
    for purpose in (Purpose.CLUSTER, Purpose.CERTIFICATES):
        bao.root.request("POST", f"auth/{mount}/role/x-{purpose}", kubernetes_role(profile, purpose))


def test_certificates_signs_and_reads_nothing(holding, references, profile, bao):
    store = holding(Purpose.CERTIFICATES)
    assert {one.error.id for one in store.check(references)} == {"vault-denied"}
    assert "pki_int/sign/edge" in policy(profile, references, Purpose.CERTIFICATES)
