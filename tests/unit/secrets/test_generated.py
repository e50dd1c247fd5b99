"""The store of generated secrets: made once, kept 0600, never lost, never guessed at."""

import json
import stat

import pytest

from renecinfra.errors import ExitCode, SecretsError
from renecinfra.secrets.generated import GeneratedStore
from renecinfra.sensitive import Secret

REFERENCE = "generated:database_password"


def test_a_secret_is_made_once_and_stays(tmp_path):
    path = tmp_path / "state" / "secrets.json"
    first = GeneratedStore(path).resolve([REFERENCE, REFERENCE])
    second = GeneratedStore(path).resolve([REFERENCE, "generated:other"])
    assert first[REFERENCE] == second[REFERENCE]
    assert first[REFERENCE].version == 1
    assert len(first[REFERENCE].value.reveal()) >= 32
    assert second["generated:other"].value != first[REFERENCE].value


def test_the_file_is_0600_and_the_value_prints_nowhere_else(tmp_path):
    path = tmp_path / "secrets.json"
    secret = GeneratedStore(path).resolve([REFERENCE])[REFERENCE]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret.value.reveal() not in repr(secret)


def test_existing_makes_nothing(tmp_path):
    path = tmp_path / "secrets.json"
    assert GeneratedStore(path).existing([REFERENCE]) == {}
    assert not path.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a": 1}', '{"a": {"value": 1, "version": 1}}', '{"a": {"value": "x"}}']
)
def test_a_damaged_file_is_an_error_that_shows_nothing_of_it(tmp_path, text):
    path = tmp_path / "secrets.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SecretsError) as caught:
        GeneratedStore(path).resolve([REFERENCE])
    assert caught.value.exit_code is ExitCode.SECRETS
    assert path.read_text() == text


def test_a_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "secrets.json"
    GeneratedStore(path).resolve([REFERENCE])
    path.chmod(0o644)
    with pytest.raises(SecretsError, match="may be read by others"):
        GeneratedStore(path).resolve([REFERENCE])


def test_a_link_is_not_followed(tmp_path):
    target = tmp_path / "elsewhere"
    target.write_text(json.dumps({}))
    (tmp_path / "secrets.json").symlink_to(target)
    with pytest.raises(SecretsError):
        GeneratedStore(tmp_path / "secrets.json").resolve([REFERENCE])


def test_a_vault_reference_is_refused(tmp_path):
    with pytest.raises(SecretsError, match="vault:kv/renec#password cannot be resolved"):
        GeneratedStore(tmp_path / "secrets.json").resolve(["vault:kv/renec#password"])


def test_a_new_version_follows_the_one_that_was_seen(tmp_path):
    store = GeneratedStore(tmp_path / "secrets.json")
    first = store.resolve([REFERENCE])[REFERENCE]
    assert store.put(REFERENCE, Secret("a new one"), first.version) == 2
    with pytest.raises(SecretsError, match="version 2 is current, not 1") as caught:
        store.put(REFERENCE, Secret("too late"), first.version)
    assert (caught.value.id, caught.value.exit_code) == ("secret-changed", ExitCode.SECRETS)
    now = store.resolve([REFERENCE])[REFERENCE]
    assert (now.value.reveal(), now.version) == ("a new one", 2)
    assert store.put(REFERENCE, Secret("whatever is current")) == 3
