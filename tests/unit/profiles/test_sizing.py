from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renecinfra.errors import ProfileError
from renecinfra.profiles import sizing
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import OTHER_CLIENTS, WORKER_CONNECTIONS, problems, size

LOCAL = {"kind": "local"}
CLUSTER = {"kind": "kubernetes", "context": "x", "storage_class": "x"}


def profile(platform: Mapping[str, Any] = LOCAL, **sections: Any) -> Profile:
    return Profile.model_validate({"environment": "here", "platform": platform, **sections})


def auto_or(low: int, high: int) -> st.SearchStrategy[int | str]:
    return st.one_of(st.just("auto"), st.integers(low, high))


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    platform = draw(st.sampled_from([LOCAL, CLUSTER]))
    replicas = draw(st.integers(1, 20))
    api = {
        "enabled": draw(st.booleans()),
        "command": draw(st.sampled_from([None, ["serve"]])),
        "replicas": replicas,
        "replicas_max": draw(st.one_of(st.none(), st.integers(replicas, 40))),
        "processes": draw(auto_or(1, 8)),
        "pool_size": draw(auto_or(1, 60)),
        "max_overflow": draw(st.integers(0, 20)),
        "resources": {"cpu_limit": draw(st.sampled_from(["500m", "1", "2500m", "16"]))},
    }
    worker = {"replicas": draw(st.integers(0, 20)), "concurrency": draw(auto_or(1, 16))}
    pooler = {
        "mode": draw(st.sampled_from(["transaction", "session"])),
        "pool_size": draw(auto_or(1, 300)),
        "max_client_connections": draw(st.integers(1, 2000)),
    }
    database = {
        "max_connections": draw(st.integers(20, 600)),
        "reserved_connections": draw(st.integers(3, 60)),
        "pooler": pooler,
    }
    return profile(
        platform,
        database=database,
        workloads={"api": api, "worker": worker},
        edge={"max_connections_per_api": draw(st.integers(1, 40))},
        cache={"broker": {"max_clients": draw(st.integers(10, 3000))}},
    )


def replicas_of(subject: Profile) -> tuple[int, int]:
    api, worker = subject.workloads.api, subject.workloads.worker
    most = api.replicas if subject.platform.kind == "local" else api.replicas_max or api.replicas
    return most if api.enabled else 0, worker.replicas


@settings(max_examples=400, deadline=None)
@given(profiles(), st.integers(1, 256))
def test_what_is_accepted_fits_on_any_machine(subject: Profile, cores: int) -> None:
    if any(True for _ in problems(subject)):
        with pytest.raises(ProfileError) as caught:
            size(subject, cores)
        assert caught.value.id == "profile-sizing"
        return
    found = size(subject, cores)
    api, worker, database = subject.workloads.api, subject.workloads.worker, subject.database
    assert all(value >= 0 for value in asdict(found).values())
    assert (found.api_replicas, found.worker_replicas) == replicas_of(subject)
    # What the profile says is kept.
    assert api.processes in ("auto", found.api_processes)
    assert api.pool_size in ("auto", found.api_pool_size)
    assert worker.concurrency in ("auto", found.worker_concurrency)
    assert database.pooler.pool_size in ("auto", found.pooler_pool_size)
    # The chain holds, counted here a second time.
    per_process = found.api_pool_size + api.max_overflow
    clients = found.api_replicas * found.api_processes * per_process
    clients += found.worker_replicas * (found.worker_concurrency + 1) * WORKER_CONNECTIONS + OTHER_CLIENTS
    assert clients <= database.pooler.max_client_connections
    assert found.connections_needed == found.pooler_pool_size + database.reserved_connections
    assert found.connections_needed <= found.connections_available == database.max_connections
    assert found.pooler_pool_size >= 1
    if database.pooler.mode == "session":
        assert clients <= found.pooler_pool_size
    else:
        assert found.worker_replicas * found.worker_concurrency < found.pooler_pool_size
    if api.enabled:
        assert per_process >= subject.edge.max_connections_per_api


@settings(max_examples=100, deadline=None)
@given(profiles(), st.integers(1, 64))
def test_more_cores_never_mean_fewer_processes(subject: Profile, cores: int) -> None:
    if any(True for _ in problems(subject)):
        return
    few, many = size(subject, cores), size(subject, cores * 2)
    assert many.worker_concurrency >= few.worker_concurrency


def test_local_defaults() -> None:
    found = size(profile(), cores=2)
    assert found == sizing.Sizing(
        api_replicas=2,
        api_processes=1,
        api_pool_size=20,
        worker_replicas=1,
        worker_concurrency=2,
        pooler_pool_size=52,
        connections_needed=67,
        connections_available=100,
    )


def test_the_reference_api_has_one_process_and_a_command_a_share_of_the_cores() -> None:
    assert size(profile(), cores=8).api_processes == 1
    command = {"api": {"command": ["serve"], "replicas": 2}}
    assert size(profile(workloads=command), cores=8).api_processes == 4
    assert size(profile(workloads=command), cores=1).api_processes == 1


def test_a_cluster_does_not_count_the_cores_of_this_machine() -> None:
    subject = profile(CLUSTER, workloads={"api": {"resources": {"cpu_limit": "2"}}})
    assert size(subject, 1) == size(subject, 64)
    assert size(subject, 1).api_processes == 2


def test_a_pool_shrinks_to_what_there_is_but_not_below_the_edge() -> None:
    tight = {"pooler": {"max_client_connections": 2 * 17 + 4 + OTHER_CLIENTS}}
    assert size(profile(database=tight), cores=1).api_pool_size == 17
    tighter = {"pooler": {"max_client_connections": 2 * 15 + 4 + OTHER_CLIENTS}}
    with pytest.raises(ProfileError, match="2 api replicas x 1 processes x"):
        size(profile(database=tighter), cores=1)


def test_the_sum_is_spelled_out() -> None:
    subject = profile(database={"pooler": {"pool_size": 90}})
    [misfit] = problems(subject)
    assert misfit.path == ("database", "pooler", "pool_size")
    assert "max_connections 100 - reserved 15 = 85" in misfit.message
