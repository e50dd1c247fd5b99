"""The files that open an environment's OpenBao, and the versions that are remembered without it."""

from __future__ import annotations

import stat

import pytest

from renecinfra.errors import SecretsError
from renecinfra.secrets import openbao
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret


def test_a_version_that_was_resolved_is_remembered_without_its_value(tmp_path):
    path = tmp_path / "state" / "secret-versions.json"
    openbao.remember_versions(path, {"generated:one": SecretVersion(Secret("canary-value"), 7)})
    assert openbao.remembered_versions(path, ["generated:one", "generated:two"]) == {
        "generated:one": 7,
        "generated:two": 1,
    }
    assert "canary-value" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{", '{"generated:one": "7"}'])
def test_a_damaged_memory_is_none(tmp_path, text):
    path = tmp_path / "secret-versions.json"
    path.write_text(text)
    assert openbao.remembered_versions(path, ["generated:one"]) == {"generated:one": 1}


def test_credentials_are_private_and_come_back(tmp_path):
    path = tmp_path / "approle.json"
    assert openbao.read_secrets(path) is None
    openbao.write_secrets(path, {"secret_id": "an-id"})
    assert openbao.read_secrets(path) == {"secret_id": "an-id"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[1]", '{"secret_id": 1}'])
def test_damaged_credentials_are_an_error_that_names_the_file_and_shows_nothing(tmp_path, text):
    path = tmp_path / "approle.json"
    path.write_text(text)
    with pytest.raises(SecretsError) as error:
        openbao.read_secrets(path)
    assert error.value.id == "openbao-credentials-unusable"
    assert str(path) in error.value.message
