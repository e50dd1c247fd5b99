"""The data services and the edge as values: what they run, and what is in no file of theirs."""

from __future__ import annotations

from typing import Any

import pytest

from renecinfra import tls
from renecinfra.errors import ProfileError, SecretsError, ToolError
from renecinfra.platforms.local import access, databases, edge, stores
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.services.definition import Layer, Service

PARTS = (databases, stores, edge)
Definitions = dict[str, Service]


def changed(profile: Profile, section: str, **values: Any) -> Profile:
    return profile.model_copy(update={section: getattr(profile, section).model_copy(update=values)})


def all_services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> Definitions:
    found = [s for part in PARTS for s in part.services(profile, host, renderer, sizing)]
    return {service.name: service for service in found}


@pytest.fixture
def definitions(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> Definitions:
    return all_services(profile, host, renderer, sizing)


def test_the_layers(definitions: Definitions) -> None:
    assert {name: service.layer for name, service in definitions.items()} == {
        "postgresql-primary": Layer.FOUNDATION,
        "redis-broker": Layer.FOUNDATION,
        "redis-cache": Layer.FOUNDATION,
        "postgresql-replica": Layer.REPLICATION,
        "pgbouncer": Layer.DATABASE,
        "edge": Layer.EDGE,
    }


def test_the_command_lines(definitions: Definitions) -> None:
    etc = "/srv/test home/etc"
    assert {name: service.command for name, service in definitions.items()} == {
        "postgresql-primary": ("/bin/sh", f"{etc}/postgresql-primary/run.sh"),
        "postgresql-replica": ("/bin/sh", f"{etc}/postgresql-replica/run.sh"),
        "pgbouncer": ("/opt/bin/pgbouncer", f"{etc}/pgbouncer/pgbouncer.ini"),
        "redis-broker": ("/opt/bin/redis-server", f"{etc}/redis-broker/redis.conf"),
        "redis-cache": ("/opt/bin/redis-server", f"{etc}/redis-cache/redis.conf"),
        "edge": (
            *("/opt/bin/nginx", "-p", "/srv/test home/data/edge"),
            *("-c", f"{etc}/edge/nginx.conf", "-e", "stderr"),
        ),
    }


def test_rendering_is_deterministic_and_holds_no_secret(
    definitions: Definitions,
    profile: Profile,
    host: Host,
    renderer: Renderer,
    sizing: Sizing,
    secrets: ResolvedSecrets,
) -> None:
    assert all_services(profile, host, renderer, sizing) == definitions
    shown = repr(definitions)
    assert not [name for name, secret in secrets.items() if secret.value.reveal() in shown]


def test_every_secret_file_that_is_named_is_made(
    definitions: Definitions, profile: Profile, host: Host, secrets: ResolvedSecrets
) -> None:
    tls.ensure(host.paths.tls, "localhost")
    made = {path for part in PARTS for path in part.secret_files(profile, host, secrets)}
    named = {
        f"{service.name}/{service.health.password_file}"
        for service in definitions.values()
        if service.health.password_file
    }
    assert named < made
    assert made - named == {
        "postgresql-primary/roles.sql",
        "postgresql-replica/primary.pgpass",
        "pgbouncer/userlist.txt",
        "redis-broker/users.acl",
        "redis-cache/users.acl",
        "edge/tls.key",
    }
    bundled = {f"{s.name}/{name}" for s in definitions.values() for name in {**s.files, **s.reload_files}}
    assert not made & bundled


def test_a_plain_password_is_only_where_a_client_needs_it(
    profile: Profile, host: Host, secrets: ResolvedSecrets
) -> None:
    files = {**databases.secret_files(profile, host, secrets), **stores.secret_files(profile, host, secrets)}
    application = secrets[profile.database.password].value.reveal()
    assert not [path for path, text in files.items() if application in text]
    assert "se:cret" not in files["postgresql-primary/roles.sql"]
    assert "se:cret" not in files["redis-broker/users.acl"]


def test_passwords_are_quoted_as_each_format_wants(
    profile: Profile, host: Host, secrets: ResolvedSecrets
) -> None:
    files = databases.secret_files(profile, host, secrets)
    assert files["postgresql-replica/primary.pgpass"] == (
        '*:20010:*:renec_replication:se\\:cret\\\\"generated\\:replication_password\n'
    )
    assert '"renec_pooler" "se:cret\\""generated:pooler_password"\n' in files["pgbouncer/userlist.txt"]


def test_another_version_of_a_secret_is_another_verifier(
    profile: Profile, host: Host, secrets: ResolvedSecrets
) -> None:
    again = {name: SecretVersion(secret.value, 2) for name, secret in secrets.items()}
    one, two = (databases.secret_files(profile, host, s) for s in (secrets, again))
    assert one["postgresql-primary/roles.sql"] != two["postgresql-primary/roles.sql"]


def test_without_replicas_there_is_no_replica(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing, secrets: ResolvedSecrets
) -> None:
    alone = changed(profile, "database", replicas=0)
    names = [service.name for service in databases.services(alone, host, renderer, sizing)]
    assert names == ["postgresql-primary", "pgbouncer"]
    assert not [path for path in databases.secret_files(alone, host, secrets) if "replica/" in path]


def test_two_replicas_are_refused(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> None:
    with pytest.raises(ProfileError) as caught:
        databases.services(changed(profile, "database", replicas=2), host, renderer, sizing)
    assert caught.value.id == "local-replicas"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", "postgres"),
        ("user", "renec_monitor"),
        ("user", "pg_something"),
        ("name", "template1"),
        ("name", "pgbouncer"),
        ("name", "replication"),
    ],
)
def test_names_that_are_taken_are_refused(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing, field: str, value: str
) -> None:
    with pytest.raises(ProfileError, match=f"database.{field} must not be {value}"):
        databases.services(changed(profile, "database", **{field: value}), host, renderer, sizing)


def test_pool_sizes_are_applied_without_a_restart(
    definitions: Definitions, profile: Profile, host: Host, renderer: Renderer
) -> None:
    more = Sizing(2, 1, 5, 1, 2, 23, 40, 100)
    pooler = all_services(profile, host, renderer, more)["pgbouncer"]
    assert pooler.files == definitions["pgbouncer"].files
    assert "default_pool_size = 23" in pooler.reload_files["pools.ini"].text
    assert pooler.reload == "hup"


def test_an_empty_redis_password_is_refused(profile: Profile, host: Host, secrets: ResolvedSecrets) -> None:
    empty = {**secrets, profile.cache.password: SecretVersion(Secret(""), 1)}
    with pytest.raises(SecretsError, match="is empty"):
        stores.secret_files(profile, host, empty)


def test_the_edge_has_its_certificate_once_there_is_one(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing, secrets: ResolvedSecrets
) -> None:
    (before,) = edge.services(profile, host, renderer, sizing)
    assert before.reload_files == {}
    with pytest.raises(ToolError, match="no key yet"):
        edge.secret_files(profile, host, secrets)
    made = tls.ensure(host.paths.tls, "localhost")
    (after,) = edge.services(profile, host, renderer, sizing)
    assert after.reload_files["tls.crt"].text == made.certificate
    assert after.files == before.files
    assert edge.secret_files(profile, host, secrets) == {"edge/tls.key": made.key.reveal()}


def edge_file(service: Service, name: str) -> str:
    return service.files[name].text


def test_the_edge_sends_readiness_to_the_applications_own_health_path(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing
) -> None:
    api = profile.workloads.api.model_copy(update={"command": ["uvicorn"], "health_path": "/health"})
    real = changed(profile, "workloads", api=api)
    (service,) = edge.services(real, host, renderer, sizing)
    assert "proxy_pass http://api/health;" in edge_file(service, "locations.conf")


def test_the_edge_hides_a_metrics_path_of_the_application(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing
) -> None:
    api = profile.workloads.api.model_copy(update={"metrics_path": "/api/metrics"})
    (service,) = edge.services(changed(profile, "workloads", api=api), host, renderer, sizing)
    assert "location = /api/metrics {" in edge_file(service, "locations.conf")
    assert "location = /metrics {" in edge_file(service, "locations.conf")


def test_the_edge_serves_the_ui_where_there_is_one(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing
) -> None:
    ui = profile.workloads.ui.model_copy(update={"enabled": True, "command": ["next", "start"]})
    (service,) = edge.services(changed(profile, "workloads", ui=ui), host, renderer, sizing)
    assert "proxy_pass http://ui;" in edge_file(service, "locations.conf")
    assert "server 127.0.0.1:20019" in edge_file(service, "nginx.conf")


def test_the_limit_counts_processes(profile: Profile, host: Host, renderer: Renderer) -> None:
    (service,) = edge.services(profile, host, renderer, Sizing(3, 2, 5, 1, 2, 10, 40, 100))
    assert edge_file(service, "nginx.conf").count("max_conns=32") == 3


def test_dsn_of_each_target(profile: Profile, host: Host, secrets: ResolvedSecrets) -> None:
    ports = {
        target: access.database_dsn(profile, host, secrets, target)["port"]  # type: ignore[arg-type]
        for target in ("primary", "replica", "pooler")
    }
    assert ports == {"primary": "20010", "replica": "20011", "pooler": "20012"}
    assert access.database_dsn(profile, host, secrets, "pooler")["user"] == "renec_monitor"
    application = access.database_dsn(profile, host, secrets, "pooler", role="application")
    assert (application["user"], application["dbname"]) == ("renec_b", "renec")
    assert (
        access.database_dsn(profile, host, secrets, "pooler", database="pgbouncer")["dbname"] == "pgbouncer"
    )


def test_a_redis_url_survives_any_password(profile: Profile, host: Host, secrets: ResolvedSecrets) -> None:
    from redis.connection import parse_url

    password = secrets[profile.cache.password].value.reveal()
    parsed = parse_url(access.redis_url(profile, host, secrets, "cache"))
    assert (parsed["username"], parsed["password"], parsed["port"]) == ("renec", password, 20016)
    assert "monitor:" in access.redis_url(profile, host, secrets, "broker", role="monitor")
