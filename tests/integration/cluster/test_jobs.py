"""Jobs that ask a database from within a cluster: what they need comes and goes with them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from renecinfra.errors import ClusterError
from renecinfra.kubernetes import jobs
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.jobs import Access, Job
from renecinfra.sensitive import Secret
from tests.cluster import api, controllers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
ACCESS = Access.of(("admin", Secret("a-canary-of-the-job")), [{"ipBlock": {"cidr": "10.0.0.0/8"}}])
JOB = Job(
    "renec-asks",
    "asks",
    "postgresql:16",
    "true",
    {"PGHOST": "db"},
    {"PGPASSWORD": ("renec-asks", "password")},
    {"app.kubernetes.io/part-of": "renec"},
    seconds=60,
    with_it=ACCESS.objects("renec-asks", "asks", "renec", {}),
)


@pytest.fixture(autouse=True)
def namespace(server: api.FakeApi) -> None:
    server.put("v1", "namespaces", None, {"metadata": {"name": "renec"}})


def names(server: api.FakeApi) -> set[str]:
    found = server.names("Job") | server.names("Secret") | server.names("NetworkPolicy")
    return {name for name in found if name == JOB.name}


def test_it_says_what_its_pod_said_and_leaves_nothing(
    new_cluster: Cluster, server: api.FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(controllers.SAID, "asks", "first")
    assert jobs.run(new_cluster, "renec", JOB, lambda _text: None) == "first"
    assert not names(server)
    monkeypatch.setitem(controllers.SAID, "asks", "second")
    assert jobs.run(new_cluster, "renec", JOB, lambda _text: None) == "second"


def test_one_that_cannot_start_is_given_up_early_and_explained(
    new_cluster: Cluster, server: api.FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_PATIENCE", 0.5)
    # A Job whose image is missing neither ends nor fails.
    real = controllers.settled
    monkeypatch.setattr(controllers, "settled", lambda kind, one: {} if kind == "Job" else real(kind, one))
    started = time.monotonic()
    with pytest.raises(ClusterError, match="cannot be pulled") as caught:
        jobs.run(
            new_cluster, "renec", replace(JOB, image="registry.example.org/missing:1"), lambda _text: None
        )
    assert caught.value.id == "image-pull"
    assert time.monotonic() - started < 30
    assert not names(server)


def test_what_a_killed_run_left_is_taken_away_first(
    new_cluster: Cluster, server: api.FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_message", die)
        patch.setattr(jobs, "_remove", lambda *_: None)
        with pytest.raises(Died):
            jobs.run(new_cluster, "renec", JOB, lambda _text: None)
    assert names(server) == {JOB.name}
    monkeypatch.setitem(controllers.SAID, "asks", "again")
    assert jobs.run(new_cluster, "renec", JOB, lambda _text: None) == "again"
    assert not names(server)
