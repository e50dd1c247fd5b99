"""All rules over one environment: findings, what waivers cover, and what each item of the lists came to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from renecinfra.profiles.loading import LoadedProfile, settings
from renecinfra.profiles.operations import Waiver
from renecinfra.profiles.tree import source_of
from renecinfra.rendering import Bundle
from renecinfra.review.grades import matches
from renecinfra.review.policy import objects, plan, profile
from renecinfra.review.policy.rules import CHECKLIST, OWASP, RULES, Aspect, Finding, Rule, finding
from renecinfra.terraform.plan import Plan


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in an environment.

    ``looked_at`` says how many settings, objects, files and resources there were to look at; ``skipped`` what
    was not looked at, with the reason.
    """

    environment: str
    findings: tuple[Finding, ...]
    looked_at: Mapping[Aspect, int]
    skipped: Mapping[str, str]

    @property
    def open(self) -> tuple[Finding, ...]:
        """What no waiver covers."""
        return tuple(one for one in self.findings if one.waived is None)

    @property
    def denied(self) -> tuple[Finding, ...]:
        """What keeps a protected environment from being changed."""
        return tuple(one for one in self.open if one.severity == "deny")

    def lists(self) -> dict[str, dict[str, dict[str, Any]]]:
        """For each item of the OWASP Top 10 and of the checklist, its rules and how many findings are open.

        Nothing passes unseen: an item without a rule is not covered, and one of which rules had nothing to
        look at is not checked, or partly.
        """
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for title, items, field in (("OWASP Top 10", OWASP, "owasp"), ("checklist", CHECKLIST, "checklist")):
            found[title] = {}
            for item in items:
                rules = [rule for rule in RULES.values() if getattr(rule, field) == item]
                names = [rule.id for rule in rules]
                count = sum(one.rule in names for one in self.open)
                result = "open" if count else self._result(rules)
                unseen = [rule.id for rule in rules if not self._is_checked(rule)]
                found[title][item] = {"result": result, "open": count, "rules": names, "unchecked": unseen}
        return found

    def _is_checked(self, rule: Rule) -> bool:
        return any(self.looked_at.get(aspect) for aspect in rule.aspects)

    def _result(self, rules: Sequence[Rule]) -> str:
        checked = [self._is_checked(rule) for rule in rules]
        if not checked:
            return "not covered"
        return "passed" if all(checked) else "partly checked" if any(checked) else "not checked"

    def document(self) -> dict[str, Any]:
        """For machines; the schema is docs/reference/schemas/audit.json."""
        return {
            "environment": self.environment,
            "ok": not self.denied,
            "looked_at": dict(self.looked_at),
            "skipped": dict(self.skipped),
            "findings": [one.document() for one in self.findings],
            "lists": self.lists(),
        }


def audit(
    loaded: LoadedProfile,
    bundle: Bundle | None,
    terraform: Plan | None,
    *,
    today: date,
    more: Iterable[Finding] = (),
    skipped: Mapping[str, str] | None = None,
) -> Audit:
    """Every rule over what there is. ``more`` are findings of other tools; waivers cover them as well."""
    found = list(profile.check(loaded))
    protected = loaded.profile.protection.protected
    if bundle is not None:
        found += objects.check(bundle)
    if terraform is not None:
        found += plan.check(terraform, protected=protected)
    found += more
    found = _waived(loaded, found, today)
    looked: dict[Aspect, int] = {
        "profile": len(settings(loaded.profile)),
        "objects": 0 if bundle is None else objects.count_pods(bundle),
        "configuration": 0 if bundle is None else sum(path.endswith(".conf") for path in bundle),
        "resources": 0 if terraform is None else plan.count(terraform),
    }
    ordered = sorted(found, key=lambda one: (one.waived is not None, one.severity, one.rule, one.target))
    return Audit(loaded.profile.environment, tuple(ordered), looked, skipped or {})


def _waived(loaded: LoadedProfile, found: Sequence[Finding], today: date) -> list[Finding]:
    waivers = loaded.profile.protection.waivers
    result = list(found)
    for index, waiver in enumerate(waivers):
        covered = [n for n, one in enumerate(found) if _covers(waiver, one)]
        problem = _problem(waiver, today, bool(covered))
        if problem is not None:
            rule, message = problem
            path = ("protection", "waivers", index)
            location = source_of(loaded.written, path).location
            result.append(finding(rule, waiver.rule, message, location=location, evidence=waiver.reason))
        if problem is None:
            for n in covered:
                result[n] = replace(result[n], waived=f"{waiver.reason} (until {waiver.until})")
    return result


def _covers(waiver: Waiver, one: Finding) -> bool:
    return waiver.rule == one.rule and matches(waiver.target, one.target)


def _problem(waiver: Waiver, today: date, covers: bool) -> tuple[str, str] | None:
    if waiver.rule not in RULES and ":" not in waiver.rule:
        return "waiver-unknown", f"a waiver names {waiver.rule}, which is no rule"
    if waiver.rule.startswith("waiver-"):
        return "waiver-unknown", f"{waiver.rule} cannot be waived"
    if date.fromisoformat(waiver.until) < today:
        return "waiver-expired", f"the waiver of {waiver.rule} for {waiver.target} ended on {waiver.until}"
    if not covers:
        return "waiver-unused", f"the waiver of {waiver.rule} for {waiver.target} covers nothing"
    return None
