"""New versions for clients who notice nothing: rolling, blue-green, and the ways back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from renecinfra.kubernetes import rollout
from tests.cluster import api
from tests.integration.cluster.test_platform import DIGEST, SMALL, run, workspace

__all__ = ["workspace"]
API = f"registry.example.org/renec/api@{DIGEST}"
FAULTY = f"registry.example.org/faulty/api@{DIGEST}"
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]


@dataclass
class Clients:
    """Who asks all the time, and Prometheus, who counts. An image named ``faulty`` fails under load only."""

    server: api.FakeApi
    answers: list[tuple[float, int]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def ask(self, service: str, path: str, *, smoke: bool = False) -> tuple[int, str]:
        pods = self.server.endpoints("renec", service)
        if not pods:
            return 503, "no endpoints"
        image = pods[0]["spec"]["containers"][0]["image"]
        if "unfit" in image or ("faulty" in image and not smoke):
            return 500, "failed"
        return 200, json.dumps({"items": [{"ec_clave": "EC0001"}]})

    def go_on(self) -> None:
        while not self.ended.wait(0.02):
            self.answers.append((time.monotonic(), self.ask("renec-api", "/")[0]))

    def prometheus(self, path: str) -> tuple[int, str]:
        lately = [code for at, code in self.answers if at > time.monotonic() - 1]
        value = sum(code >= 500 for code in lately) / max(1, len(lately))
        if "histogram_quantile" in path:
            value = 0.02
        result = [{"metric": {}, "value": [0, str(value)]}]
        return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


@pytest.fixture
def clients(
    workspace: Path,
    server: api.FakeApi,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Clients]:
    # What others have made a chart of is of no matter here.
    path = workspace / "environments" / "site.yaml"
    provided = ("kube-prometheus-stack", "cert-manager", "external-secrets", "cloudnative-pg")
    values = {**SMALL, "releases": {**SMALL["releases"], "provided": [*provided, "plugin-barman-cloud"]}}
    values["workloads"]["api"] = {"replicas": 2, "replicas_max": 3}
    path.write_text(yaml.safe_dump(values))
    code, done, _ = run(capsys, "up", "site", "--yes")
    assert code == 0, done
    found = Clients(server)
    for name in ("renec-api", "renec-api-preview", "renec-ui", "renec-ui-preview"):
        server.services[f"renec/{name}"] = lambda path, name=name: found.ask(name, path, smoke=True)
    server.services["monitoring/prometheus-operated"] = found.prometheus
    monkeypatch.setattr(rollout, "_WATCH_EVERY", 0.5)
    monkeypatch.setattr(rollout, "_SMOKE_SECONDS", 2.0)
    thread = threading.Thread(target=found.go_on, daemon=True)
    thread.start()
    yield found
    found.ended.set()
    thread.join(5)


def lost(clients: Clients) -> int:
    return sum(code == 503 for _, code in clients.answers)


def image_of(server: api.FakeApi, name: str) -> str:
    found: str = server.find("Deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


def test_blue_green_switches_and_a_rollback_comes_back(
    clients: Clients, server: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    before = image_of(server, "renec-api-blue")
    arguments = ("--strategy", "blue-green", "--bake", "2s", "--yes")
    code, done, _ = run(capsys, "deploy", "site", f"api={API}", *arguments)
    assert code == 0, done
    assert done["images"]["api"] == {"before": before, "after": API}
    assert image_of(server, "renec-api-green") == API
    assert "renec-api-blue" not in server.names("Deployment")
    assert "renec-api-preview" not in server.names("Service")
    assert server.find("Service", "renec-api")["spec"]["selector"]["renec.io/slot"] == "green"
    scalers = server.names("HorizontalPodAutoscaler")
    assert "renec-api-green" in scalers
    assert "renec-api-blue" not in scalers
    assert server.find("Deployment", "renec-api-green")["spec"]["replicas"] == 2, "as many as served before"
    assert lost(clients) == 0

    code, planned, _ = run(capsys, "plan", "site", "--detailed-exitcode")
    assert code == 0, "what was deployed stays"
    again = f"{API.replace('a' * 64, 'b' * 64)}"
    code, _planned, _ = run(
        capsys, "plan", "site", "--detailed-exitcode", "--set", f"workloads.api.image={again}"
    )
    assert code == 2, f"the profile's newer word counts: {planned}"

    code, done, _ = run(capsys, "rollback", "site", "--yes")
    assert code == 0, done
    assert image_of(server, "renec-api-green") == before
    assert lost(clients) == 0
    code, listed, _ = run(capsys, "revisions", "site")
    assert "rollback to revision" in listed[-1]["description"]


def test_a_breach_after_the_switch_goes_back_by_itself(
    clients: Clients, server: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    before = image_of(server, "renec-api-blue")
    arguments = ("--strategy", "blue-green", "--bake", "30s", "--yes")
    code, done, _ = run(capsys, "deploy", "site", f"api={FAULTY}", *arguments)
    assert (code, done["error"]["id"]) == (7, "slo-breached")
    assert "serves again" in done["error"]["hint"]
    assert image_of(server, "renec-api-blue") == before
    assert "renec-api-green" not in server.names("Deployment")
    assert server.find("Service", "renec-api")["spec"]["selector"]["renec.io/slot"] == "blue"
    assert lost(clients) == 0
    assert 500 in {code for _, code in clients.answers}, "clients have met it"
    assert clients.ask("renec-api", "/")[0] == 200


@pytest.mark.slow
def test_an_unfit_version_never_gets_a_client(
    clients: Clients, server: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    unfit = FAULTY.replace("faulty", "unfit")
    arguments = ("--strategy", "blue-green", "--bake", "1s", "--yes")
    code, done, _ = run(capsys, "deploy", "site", f"api={unfit}", *arguments)
    assert (code, done["error"]["id"]) == (7, "smoke-failed")
    assert {code for _, code in clients.answers} == {200}
    assert "renec-api-green" not in server.names("Deployment")


@pytest.mark.slow
def test_a_migration_that_breaks_the_running_version_stops(
    clients: Clients, server: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    server.services["renec/renec-api"] = lambda _path: (500, "column is gone")
    before = image_of(server, "renec-api-blue")
    code, done, _ = run(capsys, "deploy", "site", f"migrations={API}", f"api={API}", "--bake", "0s", "--yes")
    assert (code, done["error"]["id"]) == (7, "migration-breaks")
    assert image_of(server, "renec-api-blue") == before


@pytest.mark.slow
def test_rolling_is_watched_too(
    clients: Clients, server: api.FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    before = image_of(server, "renec-api-blue")
    code, done, _ = run(capsys, "deploy", "site", f"api={FAULTY}", "--bake", "30s", "--yes")
    assert (code, done["error"]["id"]) == (7, "slo-breached")
    assert image_of(server, "renec-api-blue") == before


@pytest.mark.parametrize(
    ("words", "id_"),
    [
        (["api=registry.example.org/api:1"], "image-not-pinned"),
        ([f"apis={API}"], "workload-unknown"),
        (["api"], "usage"),
        ([f"api={API}", "--strategy", "canary"], "usage"),
        ([f"worker={API}", "--strategy", "blue-green"], "strategy-unfit"),
    ],
)
def test_what_cannot_be_deployed(
    workspace: Path,
    server: api.FakeApi,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    id_: str,
) -> None:
    if id_ == "strategy-unfit":
        assert run(capsys, "up", "site", "--yes")[0] == 0
    code, done, _ = run(capsys, "deploy", "site", *words, "--yes")
    assert (code, done["error"]["id"]) == (64, id_)
