"""TLS between an environment's processes, as values: where it is asked for, nothing speaks plainly."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from renecinfra import tls
from renecinfra.errors import ToolError
from renecinfra.platforms.local import (
    access,
    certificates,
    databases,
    edge,
    encryption,
    exporters,
    scraping,
    stores,
    variables,
    workloads,
)
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.secrets import openbao, pki
from renecinfra.secrets.setup import CERTIFICATES_SECRET_ID
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.services.definition import Layer, Service

PARTS = (certificates, databases, stores, edge, workloads)
AUTHORITY = "/srv/test home/etc/certificates/renec.test.ca.crt"


@pytest.fixture
def plain(profile: Profile) -> Profile:
    """The same environment with generated secrets."""
    document = profile.model_dump(mode="json") | {"secrets": {"provider": "generated"}}
    return Profile.model_validate(document)


@pytest.fixture
def profile() -> Profile:
    return Profile.model_validate(
        {
            "environment": "test",
            "platform": {"kind": "local", "port_base": 20000},
            "database": {"replicas": 1},
            "secrets": {"provider": "openbao"},
            "edge": {"host": "renec.test", "certificate_ttl": "90d"},
        }
    )


@pytest.fixture
def secrets(secrets: ResolvedSecrets) -> ResolvedSecrets:
    return {**secrets, CERTIFICATES_SECRET_ID: SecretVersion(Secret("secret-id"), 1)}


def definitions(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> dict[str, Service]:
    found = [s for part in PARTS for s in part.services(profile, host, renderer, sizing)]
    return {service.name: service for service in found}


def text(service: Service, name: str) -> str:
    return {**service.files, **service.reload_files}[name].text


@pytest.fixture
def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> dict[str, Service]:
    return definitions(profile, host, renderer, sizing)


def test_there_is_no_way_in_without_tls(services: dict[str, Service]) -> None:
    for name in (databases.PRIMARY, databases.REPLICA):
        kinds = {
            line.split()[0] for line in text(services[name], "pg_hba.conf").splitlines() if line[0] != "#"
        }
        assert kinds == {"local", "hostssl"}
        assert "ssl = on" in text(services[name], "postgresql.conf")
    for name in (stores.BROKER, stores.CACHE):
        lines = text(services[name], "redis.conf").splitlines()
        assert "port 0" in lines
        assert f"tls-port {services[name].port}" in lines
    pooler = text(services[databases.POOLER], "pgbouncer.ini").splitlines()
    assert "client_tls_sslmode = require" in pooler
    assert "server_tls_sslmode = verify-full" in pooler
    assert f"server_tls_ca_file = {AUTHORITY}" in pooler


def test_without_an_openbao_everything_is_as_plain_as_before(
    plain: Profile, host: Host, renderer: Renderer, sizing: Sizing, secrets: ResolvedSecrets
) -> None:
    tls.ensure(host.paths.tls, plain.edge.host)
    found = definitions(plain, host, renderer, sizing)
    assert certificates.NAME not in found
    rendered = "".join(file.text for s in found.values() for file in {**s.files, **s.reload_files}.values())
    for word in ("hostssl", "ssl = on", "tls-port", "tls_sslmode", "realpath_root", AUTHORITY):
        assert word not in rendered
    assert {service.health.ca_file for service in found.values()} == {""}
    assert certificates.secret_files(plain, host, secrets) == {}
    assert encryption.libpq(plain, host) == {}
    assert {job.name for job in scraping.scrape_jobs(plain)}.isdisjoint({certificates.NAME})


def test_whoever_connects_verifies_the_server(
    profile: Profile, host: Host, renderer: Renderer, secrets: ResolvedSecrets, services: dict[str, Service]
) -> None:
    addresses = variables.backends(profile, host, secrets)
    database = parse_qs(urlsplit(addresses["DATABASE_URL"]).query)
    assert database == {"sslmode": ["verify-full"], "sslrootcert": [AUTHORITY]}
    for name in ("REDIS_URL", "CACHE_URL"):
        parts = urlsplit(addresses[name])
        assert parts.scheme == "rediss"
        assert parse_qs(parts.query) == {
            "ssl_cert_reqs": ["required"],
            "ssl_check_hostname": ["true"],
            "ssl_ca_certs": [AUTHORITY],
        }
    replica = text(services[databases.REPLICA], "postgresql.conf")
    assert f"sslmode=verify-full sslrootcert=''{AUTHORITY}''" in replica
    assert services[databases.REPLICA].environment["PGSSLMODE"] == "verify-full"
    for name in (databases.POOLER, stores.BROKER, stores.CACHE):
        assert services[name].health.ca_file == AUTHORITY
    found = {s.name: s for s in exporters.services(profile, with_exporters(host), renderer)}
    uri = found["postgresql-primary-exporter"].environment["DATA_SOURCE_URI"]
    assert parse_qs(urlsplit(uri).query)["sslmode"] == ["verify-full"]
    assert "-redis.addr=rediss://127.0.0.1:20015" in found["redis-broker-exporter"].command
    assert f"-tls-ca-cert-file={AUTHORITY}" in found["redis-broker-exporter"].command
    assert found["pgbouncer-exporter"].environment["PGSSLROOTCERT"] == AUTHORITY


def with_exporters(host: Host) -> Host:
    import dataclasses

    names = ("node", "blackbox", "nginx", "postgres", "redis")
    more = {f"prometheus-{name}-exporter": f"/opt/bin/{name}" for name in names}
    return dataclasses.replace(host, binaries={**host.binaries, **more})


def test_the_command_line_trusts_a_file_that_is_its_own(
    profile: Profile, host: Host, secrets: ResolvedSecrets
) -> None:
    dsn = access.database_dsn(profile, host, secrets, "primary")
    assert (dsn["sslmode"], dsn["sslrootcert"]) == ("verify-full", str(host.paths.ca))
    url = access.redis_url(profile, host, secrets, "broker")
    assert parse_qs(urlsplit(url).query)["ssl_ca_certs"] == [str(host.paths.ca)]


def test_the_edge_takes_a_renewal_without_a_reload(
    services: dict[str, Service], profile: Profile, host: Host, secrets: ResolvedSecrets
) -> None:
    configuration = text(services["edge"], "nginx.conf")
    assert "ssl_certificate $certificate;" in configuration
    assert 'root "/srv/test home/data/certificates/edge/current/public";' in configuration
    assert edge.secret_files(profile, host, secrets) == {}
    assert "tls.crt" not in services["edge"].reload_files


def test_the_agent_knows_each_server_and_how_it_takes_a_certificate(services: dict[str, Service]) -> None:
    agent = services[certificates.NAME]
    assert agent.layer is Layer.SECRETS
    known: dict[str, Any] = json.loads(text(agent, "certificates.json"))
    assert tuple(known["consumers"]) == pki.ROLES
    listening = {
        server["name"]: (server["port"], server["protocol"], server["reload"])
        for consumer in known["consumers"].values()
        for server in consumer["servers"]
    }
    assert listening == {
        "edge": (20003, "tls", "none"),
        "postgresql-primary": (20010, "postgresql", "hup"),
        "postgresql-replica": (20011, "postgresql", "hup"),
        "pgbouncer": (20012, "postgresql", "hup"),
        "redis-broker": (20015, "tls", "redis"),
        "redis-cache": (20016, "tls", "redis"),
    }
    assert {consumer["ttl"] for consumer in known["consumers"].values()} == {90 * 86400}
    assert {tuple(consumer["names"]) for consumer in known["consumers"].values()} == {
        ("renec.test", "localhost")
    }
    assert "secret-id" not in json.dumps(known)


def test_another_host_restarts_whoever_trusted_the_authority_before(
    profile: Profile, host: Host, renderer: Renderer, sizing: Sizing, services: dict[str, Service]
) -> None:
    moved = profile.model_copy(update={"edge": profile.edge.model_copy(update={"host": "other.test"})})
    after = definitions(moved, host, renderer, sizing)
    for name in (databases.REPLICA, databases.POOLER, stores.BROKER, certificates.NAME, "api-1", "beat"):
        before = services[name]
        assert (after[name].files, after[name].environment) != (before.files, before.environment)


def test_its_secret_files_hold_its_login_and_both_authorities(
    profile: Profile, host: Host, secrets: ResolvedSecrets
) -> None:
    with pytest.raises(ToolError) as caught:
        certificates.secret_files(profile, host, secrets)
    assert caught.value.id == "tls-missing"
    listener = tls.ensure(openbao.ca_file(host.paths).parent, "localhost").authority
    environment = tls.ensure(host.paths.tls, "renec.test").authority
    files = certificates.secret_files(profile, host, secrets)
    assert json.loads(files.pop("certificates/approle.json"))["secret_id"] == "secret-id"
    assert files == {
        "certificates/redis.password": secrets[access.OPERATOR_PASSWORD].value.reveal(),
        "certificates/openbao.ca.crt": listener,
        "certificates/renec.test.ca.crt": environment,
    }
