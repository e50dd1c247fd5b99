"""Which secrets get a value of our own making."""

from __future__ import annotations

import pytest

from renecinfra.errors import UsageError
from renecinfra.profiles.model import Profile
from renecinfra.redaction import redactor
from renecinfra.secrets.rotation import new_value, require_rotatable


@pytest.fixture
def profile() -> Profile:
    return Profile.model_validate(
        {
            "environment": "test",
            "platform": {"kind": "local", "port_base": 20000},
            "secrets": {"provider": "vault", "address": "https://vault.example.org", "path": "renec/test"},
            "database": {"password": "vault:data#database"},
            "cache": {"password": "vault:data#redis"},
            "workloads": {"api": {"key": "vault:api#key"}},
        }
    )


@pytest.mark.parametrize(
    "reference", ["vault:data#database", "vault:data#redis", "vault:api#key", "generated:pooler_password"]
)
def test_what_our_own_services_accept_can_be_made(profile: Profile, reference: str) -> None:
    require_rotatable(profile, reference)


@pytest.mark.parametrize("reference", ["vault:slack#webhook", "generated:certificates_secret_id"])
def test_what_somebody_else_has_to_accept_cannot(profile: Profile, reference: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_rotatable(profile, reference)
    assert caught.value.id == "secret-not-rotatable"
    assert "secrets test put" in (caught.value.hint or "")


def test_new_values_differ_need_no_quoting_and_are_hidden() -> None:
    one, other = new_value(), new_value()
    assert one != other
    assert len(one.reveal()) == 32
    assert one.reveal().replace("-", "").replace("_", "").isalnum()
    assert one.reveal() not in redactor(f"it is {one.reveal()}")


def test_the_backups_pass_phrase_stays(profile: Profile) -> None:
    with pytest.raises(UsageError) as caught:
        require_rotatable(profile, profile.backups.passphrase)
    assert caught.value.id == "secret-not-rotatable"
    without = profile.model_copy(update={"backups": profile.backups.model_copy(update={"enabled": False})})
    require_rotatable(without, profile.backups.passphrase)
