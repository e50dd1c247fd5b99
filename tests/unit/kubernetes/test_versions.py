from __future__ import annotations

import pytest

from renecinfra.errors import ClusterError, UsageError
from renecinfra.kubernetes import rollout
from renecinfra.kubernetes.rollout import Look, Objectives
from renecinfra.kubernetes.versions import Versions, require_pinned
from tests.unit.kubernetes.test_application import profile_of

NEW = "registry.example.org/renec/api@sha256:" + "a" * 64


def test_what_is_deployed_stays_until_the_profile_names_another() -> None:
    profile = profile_of("onprem")
    versions = Versions().with_images(profile, {"api": NEW})
    assert versions.image(profile, "api") == NEW
    assert versions.image(profile, "ui") == profile.workloads.ui.image
    later = profile_of("onprem", "workloads.api.image=registry.example.org/renec/api:2")
    assert versions.image(later, "api") == "registry.example.org/renec/api:2"
    assert versions.document(later) == {}


def test_a_switch_and_its_way_back() -> None:
    profile = profile_of("onprem")
    old = profile.workloads.api.image
    preview = Versions().with_preview({"api": NEW})
    assert preview.slots(profile, "api") == {"blue": old, "green": NEW}
    switched = preview.switched(profile)
    assert switched.slot("api") == "green"
    assert switched.slots(profile, "api") == {"green": NEW, "blue": old}
    assert switched.with_preview({}).slots(profile, "api") == {"green": NEW, "blue": ""}


def test_values_tell_what_runs() -> None:
    profile = profile_of("onprem")
    values = {
        "workloads": {"api": {"active": "green", "slots": {"green": NEW, "blue": "old"}}, "worker": {}},
        "deployed": {"api": {"image": NEW, "profile": profile.workloads.api.image}},
    }
    found = Versions.of_values(values)
    assert found.slots(profile, "api") == {"green": NEW, "blue": "old"}
    assert Versions.of_values({}) == Versions()


@pytest.mark.parametrize("image", ["a:1", "a@sha256:abc", "a:latest"])
def test_only_a_digest_pins(image: str) -> None:
    with pytest.raises(UsageError):
        require_pinned(profile_of("onprem"), {"api": image})
    require_pinned(profile_of("onprem"), {"api": NEW})


def test_objectives_come_from_the_slo() -> None:
    objectives = Objectives.of(profile_of("onprem"))
    assert objectives.errors == pytest.approx(0.01)
    assert objectives.breach(Look(0.5, 0.01))
    assert "p95" in (objectives.breach(Look(0.0, 0.3)) or "")
    assert objectives.breach(Look(None, None)) is None


def test_one_bad_look_is_no_breach_and_two_are() -> None:
    looks = iter([Look(0.5, None), Look(0.0, None), Look(0.5, None), Look(0.5, None), Look(0.0, None)])
    told: list[str] = []
    with pytest.raises(ClusterError) as caught:
        rollout.bake(lambda _: next(looks), Objectives(0.01, 1), 5, told.append, every=0.001)
    assert caught.value.id == "slo-breached"
    assert len(told) == 4


def test_a_good_version_is_watched_to_the_end() -> None:
    told: list[str] = []
    rollout.bake(lambda _: Look(0.0, 0.02), Objectives(0.01, 1), 0.05, told.append, every=0.02)
    assert told[0] == "errors 0.00%, p95 20 ms"
