"""The rendered configuration, read by the programs that it is for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from renecinfra.errors import ProfileError
from renecinfra.platforms.local import exporters, monitoring
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret
from renecinfra.services.definition import Service

from .conftest import LOCAL, SIZING

pytestmark = pytest.mark.integration
RECEIVERS = {
    "hook": {
        "kind": "webhook",
        "url": "https://alerts.example.org/renec",
        "secret": "generated:hook_token",
        "severities": ["info", "warning", "critical"],
    },
    "chat": {"kind": "slack", "secret": "generated:chat_url"},
    "pager": {"kind": "pagerduty", "secret": "generated:pager_key", "severities": ["critical"]},
    "mail": {
        "kind": "email",
        "address": "ops@example.org",
        "smarthost": "mail.example.org:587",
        "secret": "generated:mail_password",
    },
    "kept": {"kind": "log"},
}
SECRETS = {
    f"generated:{name}": SecretVersion(Secret(f'value of "{name}"'), 1)
    for name in ("monitoring_password", "hook_token", "chat_url", "pager_key", "mail_password")
}


@pytest.fixture
def everyone() -> Profile:
    return Profile.model_validate({**LOCAL, "monitoring": {**LOCAL["monitoring"], "receivers": RECEIVERS}})


def services(profile: Profile, host: Host, renderer: Renderer) -> dict[str, Service]:
    return {s.name: s for s in monitoring.services(profile, host, renderer, SIZING)}


def install(host: Host, service: Service) -> Path:
    directory = host.paths.etc / service.name
    for name, file in {**service.files, **service.reload_files}.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(file.text)
    return directory


def run(*argv: str | Path) -> str:
    done = subprocess.run(
        [str(a) for a in argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_prometheus_accepts_its_configuration(local: Profile, host: Host, renderer: Renderer) -> None:
    directory = install(host, services(local, host, renderer)["prometheus"])
    output = run("promtool", "check", "config", "--lint-fatal", directory / "prometheus.yml")
    assert "rule files" in output


def test_alertmanager_accepts_every_kind_of_receiver(
    everyone: Profile, host: Host, renderer: Renderer
) -> None:
    directory = install(host, services(everyone, host, renderer)["alertmanager"])
    assert "6 receivers" in run("amtool", "check-config", directory / "alertmanager.yml")


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"alertname": "Watchdog", "severity": "info"}, "hook"),
        ({"alertname": "EdgeDown", "severity": "critical"}, "hook,chat,pager,mail,kept"),
        ({"alertname": "ReplicaDown", "severity": "warning"}, "hook,chat,mail,kept"),
        ({"alertname": "Unheard", "severity": "none"}, "keep"),
    ],
)
def test_alerts_go_to_those_who_take_their_severity(
    everyone: Profile, host: Host, renderer: Renderer, labels: dict[str, str], receivers: str
) -> None:
    directory = install(host, services(everyone, host, renderer)["alertmanager"])
    pairs = [f"{name}={value}" for name, value in labels.items()]
    run(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={directory / 'alertmanager.yml'}",
        f"--verify.receivers={receivers}",
        *pairs,
    )


def test_blackbox_accepts_its_configuration(local: Profile, host: Host, renderer: Renderer) -> None:
    directory = install(host, services(local, host, renderer)["blackbox-exporter"])
    run("prometheus-blackbox-exporter", "--config.check", f"--config.file={directory / 'blackbox.yml'}")


def test_the_default_route_is_not_told_twice(everyone: Profile, host: Host, renderer: Renderer) -> None:
    text = services(everyone, host, renderer)["alertmanager"].reload_files["alertmanager.yml"].text
    assert text.count("name: keep") == 1


def test_no_secret_is_rendered_and_every_one_has_its_file(
    everyone: Profile, host: Host, renderer: Renderer
) -> None:
    known = services(everyone, host, renderer)
    rendered = "".join(
        file.text for s in known.values() for file in (*s.files.values(), *s.reload_files.values())
    ) + str([(s.command, dict(s.environment)) for s in known.values()])
    files = monitoring.secret_files(everyone, host, SECRETS)
    for version in SECRETS.values():
        assert version.value.reveal() not in rendered
    for name in ("hook", "chat", "pager", "mail"):
        path = f"alertmanager/receiver-{name}.secret"
        assert str(host.paths.etc / path) in rendered
        assert path in files
    assert (
        files["redis-broker-exporter/secret.env"] == 'REDIS_PASSWORD="value of \\"monitoring_password\\""\n'
    )
    assert files["blackbox-exporter/ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    for service in known.values():
        for env_file in service.env_files:
            assert f"{service.name}/{env_file}" in files


@pytest.mark.parametrize("name", ["keep", "a b", "../x", ""])
def test_a_receiver_needs_a_name_that_can_be_a_file(name: str, host: Host, renderer: Renderer) -> None:
    # The profile itself may refuse some of these names; the definitions must not rely on it.
    plain = Profile.model_validate(LOCAL)
    receivers = {name: plain.monitoring.receivers["people"]}
    watched = plain.monitoring.model_copy(update={"receivers": receivers})
    profile = plain.model_copy(update={"monitoring": watched})
    with pytest.raises(ProfileError) as caught:
        monitoring.services(profile, host, renderer, SIZING)
    assert caught.value.id == "receiver-name-invalid"


def test_a_changed_rule_reloads_and_does_not_restart(local: Profile, host: Host, renderer: Renderer) -> None:
    slower = Profile.model_validate(
        {**LOCAL, "monitoring": {**LOCAL["monitoring"], "alert_for": "20s", "slo": {"latency_p95": "80ms"}}}
    )
    before, after = (services(p, host, renderer)["prometheus"] for p in (local, slower))
    assert before.reload_files != after.reload_files
    assert (before.command, before.files, before.environment) == (
        after.command,
        after.files,
        after.environment,
    )
    assert before.reload == "hup"


def test_without_a_replica_there_is_no_exporter_for_one(host: Host, renderer: Renderer) -> None:
    alone = Profile.model_validate({**LOCAL, "database": {"replicas": 0}})
    names = {s.name for s in exporters.services(alone, host, renderer)}
    assert "postgresql-primary-exporter" in names
    assert "postgresql-replica-exporter" not in names
