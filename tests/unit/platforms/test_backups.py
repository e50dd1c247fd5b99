"""Backups' definitions on the local platform: what is rendered, what is secret, what is refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from renecinfra.errors import ToolError
from renecinfra.platforms.local import backups, coverage, databases
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.recovery import protected
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.workspace import ServiceUser


def with_backups(profile: Profile, **settings: object) -> Profile:
    document = profile.model_dump(mode="json", exclude_unset=True)
    return Profile.model_validate(document | {"backups": settings})


def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> dict:
    return {one.name: one for one in backups.services(profile, host, renderer, sizing)}


def options(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_the_configuration(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> None:
    found = services(profile, host, renderer, sizing)
    assert set(found) == {"backups", "wal-receiver"}
    made = options(found["backups"].files["pgbackrest.conf"].text)
    assert made["repo1-path"] == str(host.paths.backups / "repository")
    assert made["repo1-cipher-type"] == "aes-256-cbc"
    assert (made["compress-type"], made["compress-level"], made["repo1-bundle"]) == ("zst", "3", "y")
    assert made["archive-async"] == "y"
    assert "archive-push-queue-max" not in made
    assert made["repo1-retention-full"] == "7"
    assert made["pg1-path"] == str(databases.data_directory(host, databases.PRIMARY))
    assert {"spool-path", "lock-path", "log-path"} <= set(made)
    assert not any(name.startswith("repo2") for name in made)


def test_what_outlives_the_environment_is_not_in_its_home(profile: Profile, host: Host) -> None:
    database = backups.protected(profile, host)
    for place in (database.state, database.receiver, database.repositories[0].location):
        assert not Path(place).is_relative_to(host.paths.home)
    assert Path(database.work).is_relative_to(host.paths.data)


def test_the_service_reads_what_the_command_line_has(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing, tmp_path: Path
) -> None:
    path = tmp_path / "recovery.json"
    path.write_text(services(profile, host, renderer, sizing)["backups"].files["recovery.json"].text)
    assert protected.load(path) == backups.protected(profile, host)


def test_keys_are_in_a_secret_file_alone(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing, secrets: ResolvedSecrets
) -> None:
    second = {
        "kind": "s3", "bucket": "b", "region": "r", "endpoint": "s3.example.org", "ca_file": "/etc/ca.crt",
        "key": "generated:s3_key", "key_secret": "generated:s3_secret",
    }  # fmt: skip
    changed = with_backups(profile, second=second, retention="36h")
    more = {
        name: SecretVersion(Secret(f"{name}!"), 3) for name in ("generated:s3_key", "generated:s3_secret")
    }
    files = backups.secret_files(changed, host, {**secrets, **more})
    keys = options(files["backups/secrets/keys.conf"])
    assert keys["repo1-cipher-pass"] == keys["repo2-cipher-pass"]
    assert keys["repo2-s3-key"] == "generated:s3_key!"
    service = services(changed, host, renderer, sizing)["backups"]
    assert set(service.secrets) == {"generated:backup_passphrase", "generated:s3_key", "generated:s3_secret"}
    made = options(service.files["pgbackrest.conf"].text)
    assert made["repo2-storage-host"] == "s3.example.org"
    assert made["repo2-storage-ca-file"] == "/etc/ca.crt"
    assert made["repo1-retention-full"] == made["repo2-retention-full"] == "2"
    assert "cipher-pass" not in service.files["pgbackrest.conf"].text


def test_the_primary_archives_and_so_would_the_replica(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing
) -> None:
    found = {one.name: one for one in databases.services(profile, host, renderer, sizing)}
    for name in (databases.PRIMARY, databases.REPLICA):
        text = found[name].files["postgresql.conf"].text
        assert "archive_mode = on" in text
        assert f"--pg1-path={databases.data_directory(host, name)}" in text
        assert "archive_timeout = 60s" in text
    without = with_backups(profile, enabled=False)
    found = {one.name: one for one in databases.services(without, host, renderer, sizing)}
    assert "archive" not in found[databases.PRIMARY].files["postgresql.conf"].text
    assert services(without, host, renderer, sizing) == {}
    assert backups.secret_files(without, host, {}) == {}


def test_a_directory_of_the_profiles_must_be_the_services(
    profile: Profile, host: Host, tmp_path: Path
) -> None:
    mine = replace(host, user=ServiceUser("me", os.getuid(), os.getgid(), switched=False))
    backups.require_places(profile, mine)
    place = tmp_path / "place"
    changed = with_backups(profile, directory=str(place))
    with pytest.raises(ToolError) as caught:
        backups.require_places(changed, mine)
    assert caught.value.id == "backup-directory-unusable"
    assert str(place) in str(caught.value.hint)
    place.mkdir()
    backups.require_places(changed, mine)
    with pytest.raises(ToolError):
        backups.require_places(changed, replace(mine, user=ServiceUser("other", 4242, 4242, switched=True)))


def test_what_is_not_backed_up_is_said(profile: Profile) -> None:
    found = {one.what: one for one in coverage.coverage(profile)}
    assert found["PostgreSQL"].covered
    assert not found["Redis cache"].covered
    assert "streamed" in found["PostgreSQL"].how
    assert (
        "streamed"
        not in {one.what: one for one in coverage.coverage(with_backups(profile, receiver=False))}[
            "PostgreSQL"
        ].how
    )
