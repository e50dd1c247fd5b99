"""The values for our charts, without Helm."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from renecinfra.kubernetes import application, catalogue
from renecinfra.kubernetes.backends import in_cluster
from renecinfra.profiles.loading import load
from renecinfra.profiles.model import Profile
from renecinfra.rendering import Renderer
from renecinfra.workspace import Workspace

ROOT = Path(__file__).parents[3]


@functools.cache
def profile_of(name: str, *overrides: str) -> Profile:
    return load(Workspace(ROOT), name, overrides, environ={}).profile


def values_of(name: str, *overrides: str) -> dict[str, Any]:
    file = application.values(profile_of(name, *overrides), Renderer(ROOT / "templates"), in_cluster())
    found: dict[str, Any] = yaml.safe_load(file.text)
    return found


def test_graces_outlast_a_request_and_a_harvest() -> None:
    profile, workloads = profile_of("onprem"), values_of("onprem")["workloads"]
    upstream = profile.edge.upstream_timeout.total_seconds()
    assert workloads["api"]["graceSeconds"] > workloads["api"]["preStopSeconds"] + upstream
    grace = profile.workloads.worker.termination_grace.total_seconds()
    assert workloads["worker"]["graceSeconds"] > grace


def test_a_slow_database_trips_no_liveness() -> None:
    probes = values_of("onprem")["workloads"]["api"]["probes"]
    assert set(probes["liveness"]) >= {"tcpSocket"}
    assert "httpGet" in probes["readiness"]
    assert "liveness" not in values_of("onprem")["workloads"]["worker"]["probes"]


def test_a_profiles_own_command_wins_and_has_no_probe_of_another() -> None:
    worker = values_of("onprem", 'workloads.worker.command=["run", "it"]')["workloads"]["worker"]
    assert worker["command"] == ["run", "it"]
    assert worker["probes"] == {}


def test_no_secret_is_in_the_values() -> None:
    api = values_of("onprem")["workloads"]["api"]
    assert {"DATABASE_PASSWORD", "REDIS_PASSWORD", "RENEC_API_KEY"} <= set(api["secrets"])
    assert not set(api["environment"]) & set(api["secrets"])


@pytest.mark.parametrize(
    ("overrides", "service"),
    [
        ((), {"type": "LoadBalancer", "annotations": {}}),
        (
            ("platform.exposure.kind=node-port",),
            {"type": "NodePort", "httpsNodePort": 30443, "httpNodePort": 30080},
        ),
    ],
)
def test_how_the_edge_is_reached(overrides: tuple[str, ...], service: dict[str, Any]) -> None:
    edge = values_of("onprem", *overrides)["edge"]
    assert edge["service"] == service
    port = "30443" if overrides else "443"
    assert f"X-Forwarded-Port {port};" in edge["files"]["proxy.conf"]


def test_the_edge_is_the_one_template() -> None:
    nginx = values_of("onprem")["edge"]["files"]["nginx.conf"]
    assert "server renec-api:8000 resolve max_conns=" in nginx
    assert 'include "/run/edge/resolver.conf";' in nginx


def test_releases_are_in_the_order_of_their_needs() -> None:
    names = [one.name for one in catalogue.releases(profile_of("onprem"), ROOT / "templates")]
    for first, later in (
        ("kube-prometheus-stack", "cert-manager"),
        ("cert-manager", "plugin-barman-cloud"),
        ("cloudnative-pg", "renec-data"),
        ("external-secrets", "renec-secrets"),
        ("renec-secrets", "renec-data"),
        ("renec-data", "renec"),
    ):
        assert names.index(first) < names.index(later)
    assert "keda" not in names
    scaled = profile_of("onprem", "workloads.worker.replicas_max=4", "database.max_connections=300")
    assert "keda" in [one.name for one in catalogue.releases(scaled, ROOT / "templates")]


def test_what_the_cluster_has_is_left_alone() -> None:
    profile = profile_of("onprem", 'releases.provided=["cert-manager"]')
    assert "cert-manager" not in catalogue.third_party(profile)
    assert "cloudnative-pg" not in catalogue.third_party(profile_of("prod"))


def test_a_new_secret_version_changes_the_pods() -> None:
    from renecinfra.kubernetes.catalogue import Rendering, bundle

    profile = profile_of("onprem")
    shared = (Renderer(ROOT / "templates"), ROOT, in_cluster())
    one, two = (
        bundle(profile, Rendering(*shared, secret_versions={"vault:api#key": number})) for number in (1, 2)
    )
    assert one["helm/renec-harvester.yaml"].text != two["helm/renec-harvester.yaml"].text
    assert one["helm/renec-data.yaml"].text != two["helm/renec-data.yaml"].text
