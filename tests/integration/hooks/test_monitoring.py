"""The monitoring hook against real Prometheus and Alertmanager."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from renecinfra.errors import HookError
from renecinfra.hooks.monitoring import MonitoringHook
from renecinfra.hooks.prometheus import Server
from renecinfra.hooks.protocol import Check, HookContext

from .conftest import Watched, make_profile

pytestmark = pytest.mark.integration


def by_name(checks: list[Check]) -> Mapping[str, Check]:
    return {check.name: check for check in checks}


def hurried(context: HookContext, **sections: object) -> HookContext:
    """The same with one second's patience, and other sections of the profile."""
    watch = context.profile.hooks.monitoring.model_validate({"timeout": "1s"})
    hooks = context.profile.hooks.model_copy(update={"monitoring": watch})
    return replace(context, profile=context.profile.model_copy(update={"hooks": hooks, **sections}))


def wrong(checks: list[Check]) -> list[Check]:
    return [check for check in checks if not check.ok]


def test_everything_is_scraped_soon_after_a_fresh_start_and_at_once_afterwards(watched: Watched) -> None:
    hook = MonitoringHook()
    begun = time.monotonic()
    assert hook.run(watched.context).endswith("targets")
    assert wrong(hook.verify(watched.context)) == []
    fresh = time.monotonic() - begun
    begun = time.monotonic()
    hook.run(watched.context)
    checks = hook.verify(watched.context)
    again = time.monotonic() - begun
    print(f"fresh {fresh:.2f} s, again {again:.3f} s")
    assert wrong(checks) == []
    assert watched.supervision.reloaded == []
    # Prometheus finds its first targets 5 s after it starts; scrapes are then spread over an interval.
    assert fresh < 10
    assert again < 1


def test_samples_from_before_a_restart_do_not_count(watched: Watched) -> None:
    hook = MonitoringHook()
    assert wrong(hook.verify(watched.context)) == []
    # As if node-exporter had just been restarted: its target is up, but only by an older sample.
    watched.supervision.started["node-exporter"] = time.time() + 1
    begun = time.monotonic()
    assert wrong(hook.verify(watched.context)) == []
    assert time.monotonic() - begun > 0.9


def test_a_dead_target_is_named(watched: Watched) -> None:
    hook = MonitoringHook()
    assert wrong(hook.verify(watched.context)) == []
    watched.listeners.stop(watched.context.profile.local.port("node_exporter"))
    time.sleep(1.2)
    try:
        [check] = wrong(hook.verify(hurried(watched.context)))
    finally:
        watched.listeners.start(watched.context.profile.local.port("node_exporter"))
    assert check.name == "target node node"
    assert "refused" in check.detail


def test_a_changed_rule_is_reloaded_and_then_served(watched: Watched) -> None:
    hook = MonitoringHook()
    hook.run(watched.context)
    port_base = watched.context.profile.local.port_base
    changed = make_profile(port_base, alert_for="3s", receivers={"me": {"kind": "log"}})
    watched.install(changed)
    hook.run(watched.context)
    assert watched.supervision.reloaded == ["prometheus", "alertmanager"]
    assert by_name(hook.verify(watched.context))["alert rules"].ok


def test_refused_configuration_is_an_error(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renecinfra.hooks.monitoring._RELOAD_SECONDS", 0.5)
    rules = watched.context.host.paths.etc / "prometheus" / "rules"
    (rules / "EdgeDown.yaml").write_text("groups: [{name: x, rules: [{alert: X, expr: '((('}]}]")
    with pytest.raises(HookError) as caught:
        MonitoringHook().run(watched.context)
    assert caught.value.id == "monitoring-reload"


def test_unexpected_and_missing_targets_are_named(watched: Watched) -> None:
    assert wrong(MonitoringHook().verify(watched.context)) == []
    profile = watched.context.profile
    replicated = profile.database.model_copy(update={"replicas": 1})
    silent = profile.workloads.api.model_copy(update={"enabled": False})
    workloads = profile.workloads.model_copy(update={"api": silent})
    context = hurried(watched.context, database=replicated, workloads=workloads)
    checks = by_name(MonitoringHook().verify(context))
    assert checks["target postgresql postgresql-replica"].detail == "Prometheus does not know it"
    assert checks["target api api-1"].detail == "unexpected"


def test_alertmanager_gone_is_seen(watched: Watched) -> None:
    hook = MonitoringHook()
    assert wrong(hook.verify(watched.context)) == []
    watched.supervision.stop("alertmanager")
    try:
        with pytest.raises(HookError) as caught:
            hook.run(watched.context)
    finally:
        watched.start("alertmanager")
    assert caught.value.id == "monitoring-unreachable"
    begun = time.monotonic()
    assert wrong(hook.verify(watched.context)) == []
    # It has forgotten every alert, and is told again within an interval.
    assert time.monotonic() - begun < 4


def test_a_firing_alert_informs_and_does_not_fail(watched: Watched) -> None:
    watched.listeners.stop(watched.context.profile.local.port("node_exporter"))
    with Server("prometheus", watched.context.profile.local.port("prometheus")) as prometheus:
        for _ in range(200):
            if "TargetDown" in prometheus.firing():
                break
            time.sleep(0.05)
    watched.listeners.start(watched.context.profile.local.port("node_exporter"))
    check = by_name(MonitoringHook().verify(watched.context))["alerts firing"]
    assert check.ok


def test_the_status_page_is_served_and_escapes(watched: Watched) -> None:
    import urllib3

    assert wrong(MonitoringHook().verify(watched.context)) == []
    port = watched.context.profile.local.port("prometheus")
    page = urllib3.request("GET", f"http://127.0.0.1:{port}/consoles/index.html")
    text = page.data.decode()
    assert page.status == 200, text
    assert "<h1>RENEC Harvester: watched</h1>" in text
    assert "<td>api-1</td><td>api</td>" in text
    assert "99.9%" in text
