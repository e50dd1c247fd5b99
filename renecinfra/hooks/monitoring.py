"""The monitoring hook: Prometheus and Alertmanager use what was installed, and everything is scraped now.

After a warm restart Prometheus serves the samples of before, so an ``up`` of 1 proves nothing. What counts is
when a target was last scraped: after Prometheus started, after the scraped service started, and within the
last two intervals.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from renecinfra.errors import HookError
from renecinfra.hooks.prometheus import LiveRule, LiveTarget, Server
from renecinfra.hooks.protocol import Check, HookContext
from renecinfra.hooks.runner import poll
from renecinfra.platforms.local.scraping import Target, scrape_jobs
from renecinfra.profiles.base import parse_duration
from renecinfra.services.supervision import Supervision

HEARTBEAT: Final = "Watchdog"
"""The alert that always fires; that Alertmanager has it proves the way from rule to receiver."""
_RELOAD_SECONDS: Final = 5.0
_CONFIGS: Final = {
    "prometheus": ("prometheus.yml", "rules/*.yaml"),
    "alertmanager": ("alertmanager.yml",),
}


class MonitoringHook:
    """See the module; ``run`` reloads what has not loaded its files, ``verify`` looks at targets."""

    name = "monitoring"
    needs: tuple[str, ...] = ()

    def run(self, context: HookContext) -> str:
        """Bring both servers to the installed files; says how many rules and targets there are.

        Raises:
            HookError: a server does not answer, or refuses its files.
        """
        supervision = Supervision(context.host.paths)
        for name in _CONFIGS:
            with _server(context, name) as server:
                self._ensure_loaded(context, supervision, server)
        rules = installed_rules(context.host.paths.etc / "prometheus" / "rules")
        alerts = sum(1 for group in rules.values() for rule in group if rule.annotations)
        targets = sum(len(job.targets) for job in scrape_jobs(context.profile))
        return f"{alerts} alert rules, {targets} targets"

    def _ensure_loaded(self, context: HookContext, supervision: Supervision, server: Server) -> None:
        newest = _newest(context.host.paths.etc / server.name, _CONFIGS[server.name])
        config = server.loaded_config()
        if config.ok and config.loaded_at >= newest:
            return
        context.note(f"reloading {server.name}")
        asked = time.time()
        supervision.reload(server.name)
        deadline = time.monotonic() + _RELOAD_SECONDS
        while time.monotonic() < deadline:
            config = server.loaded_config()
            if config.ok and config.loaded_at >= asked:
                return
            time.sleep(0.05)
        raise HookError(
            "monitoring-reload",
            f"{server.name} did not load its new configuration and goes on with the old one",
            hint=f"`renecinfra logs {context.profile.environment} {server.name}` says why",
        )

    def verify(self, context: HookContext) -> list[Check]:
        """Rules, targets, the way to Alertmanager, and as information what fires; waits for fresh scrapes."""
        interval = context.profile.monitoring.scrape_interval
        wait = min(3 * interval + timedelta(seconds=5), context.profile.hooks.monitoring.timeout)
        deadline = time.monotonic() + wait.total_seconds()
        rules = installed_rules(context.host.paths.etc / "prometheus" / "rules")
        with _server(context, "prometheus") as prometheus, _server(context, "alertmanager") as alertmanager:
            return poll(partial(_look, context, rules, prometheus, alertmanager), deadline)


def _server(context: HookContext, name: str) -> Server:
    return Server(name, context.profile.local.port(name))


def _newest(directory: Path, patterns: tuple[str, ...]) -> float:
    files = [path for pattern in patterns for path in directory.glob(pattern)]
    if not files:
        raise HookError(
            "monitoring-not-installed",
            f"there is no configuration in {directory}",
            hint="run `renecinfra up` for the environment",
        )
    # A directory's own time tells of a file that was taken away.
    return max(path.stat().st_mtime for path in (*files, *(path.parent for path in files)))


def installed_rules(directory: Path) -> dict[str, list[LiveRule]]:
    """The rules of the installed files by group, in the shape in which Prometheus answers."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    groups: dict[str, list[LiveRule]] = {}
    for path in sorted(directory.glob("*.yaml")):
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe one
        for group in content["groups"]:
            groups[group["name"]] = [_installed(rule) for rule in group["rules"]]
    return groups


def _installed(rule: Mapping[str, Any]) -> LiveRule:
    return LiveRule(
        rule.get("alert") or rule["record"],
        tuple(sorted(rule.get("labels", {}).items())),
        tuple(sorted(rule.get("annotations", {}).items())),
        parse_duration(rule.get("for", "0s")).total_seconds(),
    )


def _look(
    context: HookContext, rules: Mapping[str, list[LiveRule]], prometheus: Server, alertmanager: Server
) -> list[Check]:
    try:
        started = _starts(Supervision(context.host.paths))
        return [
            check_rules(rules, prometheus.rules()),
            *check_targets(context, prometheus.targets(), started, time.time()),
            _check_alerting(context, prometheus, alertmanager, started.get("prometheus", 0.0)),
            Check(
                "alerts firing", True, ", ".join(a for a in prometheus.firing() if a != HEARTBEAT) or "none"
            ),
        ]
    except HookError as error:
        return [Check("monitoring answers", False, error.message)]


def _starts(supervision: Supervision) -> dict[str, float]:
    """When each service's process started, in Unix time."""
    now = time.time()
    return {name: now - state.uptime for name, state in supervision.processes().items()}


def check_rules(wanted: Mapping[str, list[LiveRule]], live: Mapping[str, list[LiveRule]]) -> Check:
    """Whether Prometheus evaluates the installed rules, no other ones, and without errors."""
    bare = {
        name: [LiveRule(r.name, r.labels, r.annotations, r.seconds) for r in group]
        for name, group in live.items()
    }
    differing = sorted(name for name in wanted.keys() | bare.keys() if wanted.get(name) != bare.get(name))
    if differing:
        return Check("alert rules", False, f"Prometheus has other rules in: {', '.join(differing)}")
    failing = [f"{rule.name}: {rule.error}" for group in live.values() for rule in group if rule.error]
    if failing:
        return Check("alert rules", False, "; ".join(failing))
    return Check("alert rules", True, f"{sum(len(group) for group in live.values())} rules are evaluated")


def check_targets(
    context: HookContext, live: list[LiveTarget], started: Mapping[str, float], now: float
) -> list[Check]:
    """One check for each target that there should be, and one for each that there should not be."""
    wanted: dict[tuple[str, str], Target] = {
        (job.name, target.instance): target for job in scrape_jobs(context.profile) for target in job.targets
    }
    found = {(target.job, target.instance): target for target in live}
    oldest = now - 2 * context.profile.monitoring.scrape_interval.total_seconds()
    checks = [
        _check_target(key, target, found.get(key), max(oldest, _since(target, started)))
        for key, target in wanted.items()
    ]
    extra = [Check(f"target {job} {name}", False, "unexpected") for job, name in found.keys() - wanted.keys()]
    return checks + sorted(extra, key=lambda check: check.name)


def _since(target: Target, started: Mapping[str, float]) -> float:
    return max(started.get("prometheus", 0.0), started.get(target.service, 0.0))


def _check_target(key: tuple[str, str], wanted: Target, live: LiveTarget | None, since: float) -> Check:
    name = f"target {key[0]} {key[1]}"
    if live is None:
        return Check(name, False, "Prometheus does not know it")
    if live.address != wanted.address:
        return Check(name, False, f"scraped at {live.address} instead of {wanted.address}")
    if live.scraped_at < since:
        return Check(name, False, "not scraped yet")
    return Check(name, live.healthy, live.error)


def _check_alerting(context: HookContext, prometheus: Server, alertmanager: Server, since: float) -> Check:
    if not any(f":{alertmanager.port}/" in url for url in prometheus.alertmanagers()):
        return Check("alerting", False, "Prometheus does not know Alertmanager")
    heard = alertmanager.received(HEARTBEAT, context.profile.environment)
    if heard is None or heard < since:
        return Check("alerting", False, f"Alertmanager has not heard {HEARTBEAT}")
    return Check("alerting", True, f"Alertmanager hears {HEARTBEAT}")
