"""The store over a real OpenBao: one read per path, versions, check-and-set, secrets made when absent."""

from __future__ import annotations

import pytest

from renecinfra.errors import SecretsError
from renecinfra.redaction import redactor
from renecinfra.sensitive import Secret

pytestmark = pytest.mark.integration


@pytest.fixture
def reads(bao, monkeypatch):
    """What the client read, by path, as it happens."""
    seen: list[str] = []
    request = bao.root.request

    def counted(method, path, *arguments, **options):
        if method == "GET":
            seen.append(path)
        return request(method, path, *arguments, **options)

    monkeypatch.setattr(bao.root, "request", counted)
    return seen


def test_a_field_and_a_version_are_addressed(bao):
    bao.write("database", password="one", other="x")
    bao.write("database", password="two", other="x")
    resolved = bao.store().resolve(
        [
            "vault:database#password",
            "vault:database#password@1",
            f"vault:{bao.mount}/renec/prod/database#other",
        ]
    )
    shown = {text: (found.value.reveal(), found.version) for text, found in resolved.items()}
    assert shown == {
        "vault:database#password": ("two", 2),
        "vault:database#password@1": ("one", 1),
        f"vault:{bao.mount}/renec/prod/database#other": ("x", 2),
    }


def test_a_path_is_read_once_per_run(bao, reads):
    bao.write("database", password="one", other="two")
    bao.write("api", key="three")
    store = bao.store()
    references = ["vault:database#password", "vault:database#other", "vault:api#key"]
    store.resolve(references)
    store.resolve([*references, f"vault:{bao.mount}/renec/prod/api#key"])
    store.check(references)
    store.existing(references)
    assert sorted(reads) == [f"{bao.mount}/data/renec/prod/{name}" for name in ("api", "database")]


def test_a_failure_is_asked_for_once_too(bao, reads):
    store = bao.store()
    for _ in range(2):
        with pytest.raises(SecretsError):
            store.resolve(["vault:nothing#a"])
    assert len(reads) == 1


def test_every_failure_is_told_at_once(bao):
    bao.write("database", password="one")
    with pytest.raises(SecretsError) as caught:
        bao.store().resolve(["vault:a#x", "vault:database#password", "vault:b#x", "vault:database#none"])
    told = " ".join((caught.value.message, *caught.value.details))
    assert all(reference in told for reference in ("vault:a#x", "vault:b#x", "vault:database#none"))
    assert "vault:database#password" not in told


def test_check_tells_references_apart(bao):
    bao.write("database", password="one")
    bao.write("api", key="two")
    store = bao.store(bao.token(bao.reading("database", "gone")))
    checked = store.check(["vault:database#password", "vault:database#none", "vault:api#key", "vault:gone#a"])
    assert {one.reference: one.error and one.error.id for one in checked} == {
        "vault:database#password": None,
        "vault:database#none": "vault-field-missing",
        "vault:api#key": "vault-denied",
        "vault:gone#a": "vault-path-missing",
    }


def test_what_was_read_is_redacted(bao):
    bao.write("database", password="a-canary-that-is-long")
    bao.store().resolve(["vault:database#password"])
    assert "canary" not in redactor("password=a-canary-that-is-long")


def test_put_keeps_other_fields_and_other_writes(bao):
    store = bao.store()
    assert store.put("vault:api#key", Secret("one")) == 1
    assert store.put("vault:api#other", Secret("two"), cas=1) == 2
    with pytest.raises(SecretsError) as caught:
        store.put("vault:api#key", Secret("three"), cas=1)
    assert caught.value.id == "secret-changed"
    with pytest.raises(SecretsError) as caught:
        store.put("vault:api#key", Secret("three"), cas=0)
    assert caught.value.id == "secret-changed"
    resolved = store.resolve(["vault:api#key", "vault:api#other"])
    assert {found.value.reveal() for found in resolved.values()} == {"one", "two"}


def test_put_after_a_read_is_read_again(bao):
    store = bao.store()
    store.put("vault:api#key", Secret("one"))
    assert store.resolve(["vault:api#key"])["vault:api#key"].version == 1
    store.put("vault:api#key", Secret("two"))
    assert store.resolve(["vault:api#key"])["vault:api#key"].value.reveal() == "two"


def test_put_after_a_deletion_goes_on_counting(bao):
    store = bao.store()
    store.put("vault:api#key", Secret("one"))
    bao.root.delete_versions(bao.mount, "renec/prod/api", [1])
    assert store.put("vault:api#key", Secret("two")) == 2


def test_a_fixed_version_cannot_be_written(bao):
    with pytest.raises(SecretsError) as caught:
        bao.store().put("vault:api#key@3", Secret("one"))
    assert caught.value.id == "secret-version-fixed"


def test_a_write_in_between_is_not_lost(bao, monkeypatch):
    """Another writer comes between the read of the other fields and the write."""
    store = bao.store()
    store.put("vault:api#key", Secret("one"))
    write = bao.root.write_secret

    def late(*arguments, **options):
        monkeypatch.setattr(bao.root, "write_secret", write)
        bao.write("api", key="theirs")
        return write(*arguments, **options)

    monkeypatch.setattr(bao.root, "write_secret", late)
    with pytest.raises(SecretsError) as caught:
        store.put("vault:api#key", Secret("ours"))
    assert caught.value.id == "secret-changed"
    assert store.resolve(["vault:api#key"])["vault:api#key"].value.reveal() == "theirs"


def test_generated_secrets_are_made_once(bao):
    first = bao.store(generate=True).resolve(["generated:api_key"])
    second = bao.store(generate=True).resolve(["generated:api_key"])
    assert first == second
    assert len(first["generated:api_key"].value.reveal()) == 32
    stored = bao.root.read_secret(bao.mount, "renec/prod/api_key")
    assert set(stored.data) == {"value"}


def test_existing_makes_nothing(bao):
    store = bao.store(generate=True)
    assert store.existing(["generated:api_key"]) == {}
    assert bao.root.list_paths(bao.mount) == []
    assert [one.version for one in store.check(["generated:api_key"])] == [None]


def test_nothing_is_generated_where_others_own_the_vault(bao):
    with pytest.raises(SecretsError) as caught:
        bao.store().resolve(["generated:api_key"])
    assert caught.value.id == "secret-reference-unsupported"


def test_versions_need_no_value(bao):
    bao.write("database", password="one")
    bao.write("database", password="two")
    policy = f'path "{bao.mount}/metadata/renec/prod/*" {{ capabilities = ["read"] }}'
    store = bao.store(bao.token(policy))
    references = ["vault:database#password", "vault:database#password@1", "vault:nothing#a"]
    assert store.read_versions(references) == {
        "vault:database#password": 2,
        "vault:database#password@1": 1,
    }
    metadata = store.metadata("vault:database#password")
    assert metadata is not None
    assert sorted(metadata.versions) == [1, 2]
    with pytest.raises(SecretsError):
        store.resolve(["vault:database#password"])


def test_a_namespace_is_spoken_to(bao):
    bao.root.request("POST", f"sys/namespaces/{bao.mount}-ns")
    bao.root._hvac.adapter.namespace = f"{bao.mount}-ns"
    try:
        bao.root.request("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        bao.root.write_secret("kv", "x", {"a": Secret("one")})
        assert bao.root.read_secret("kv", "x").version == 1
    finally:
        bao.root._hvac.adapter.namespace = None
    with pytest.raises(SecretsError):
        bao.root.read_secret("kv", "x")
