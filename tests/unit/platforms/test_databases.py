"""The roles of PostgreSQL, as far as a profile decides them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from renecinfra.errors import ProfileError
from renecinfra.platforms.local import access, databases
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.sensitive import Secret

SIZING = Sizing(2, 1, 5, 1, 2, 10, 25, 40)


def named(profile: Profile, **changes: Any) -> Profile:
    return profile.model_copy(update={"database": profile.database.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"user": "postgres"}, "database-name-reserved"),
        ({"user": "renec_vault"}, "database-name-reserved"),
        ({"user": "renec_people"}, "database-name-reserved"),
        ({"name": "template1"}, "database-name-reserved"),
        ({"user": "u" * 62}, "database-user-long"),
    ],
)
def test_names_that_are_not_free(
    profile: Profile, host: Host, renderer: Renderer, changes: Any, error: str
) -> None:
    with pytest.raises(ProfileError) as caught:
        databases.services(named(profile, **changes), host, renderer, SIZING)
    assert caught.value.id == error


def test_the_longest_name_will_do(profile: Profile, host: Host, renderer: Renderer) -> None:
    made = named(profile, user="u" * 61)
    databases.services(made, host, renderer, SIZING)
    assert {len(login) for login in access.database_logins(made)} == {63}


def verifiers(profile: Profile, host: Host, secrets: ResolvedSecrets, value: str, version: int) -> Any:
    now = {**secrets, profile.database.password: SecretVersion(Secret(value), version)}
    return databases.verifiers(profile, host, now)


def test_versions_take_turns_at_two_logins(profile: Profile, host: Host, secrets: ResolvedSecrets) -> None:
    logins = [set(verifiers(profile, host, secrets, "p", version)) for version in (1, 2, 3)]
    assert logins[0] - logins[1] == {"renec_b"}
    assert logins[1] - logins[0] == {"renec_a"}
    assert logins[2] == logins[0]


def test_a_value_that_is_stored_once_more_has_the_verifier_that_it_had(
    profile: Profile, host: Host, secrets: ResolvedSecrets
) -> None:
    first, again = (verifiers(profile, host, secrets, "p", version)["renec_b"] for version in (1, 3))
    other = verifiers(profile, host, secrets, "q", 3)["renec_b"]
    assert first == again != other


def test_the_data_services_are_not_restarted_for_a_password(
    profile: Profile, host: Host, renderer: Renderer
) -> None:
    found = {one.name: one for one in databases.services(profile, host, renderer, SIZING)}
    assert found[databases.PRIMARY].secrets == ()
    assert found[databases.POOLER].secrets == ()
    assert found[databases.POOLER].reload_secrets == (access.POOLER_PASSWORD, access.MONITORING_PASSWORD)
    bootstrap = found[databases.PRIMARY].files["bootstrap.sql"].text
    assert not re.search(r'"renec_[ab]" LOGIN', bootstrap)
