"""Findings as SARIF 2.1.0, for what shows findings beside code."""

from __future__ import annotations

from typing import Any, Final

from renecinfra import __version__
from renecinfra.review.policy.audit import Audit
from renecinfra.review.policy.rules import RULES, Finding

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {"deny": "error", "warn": "warning"}


def sarif(audit: Audit) -> dict[str, Any]:
    """One run with every rule, and every finding as a result; what is waived is suppressed there."""
    foreign = sorted({one.rule for one in audit.findings} - set(RULES))
    described = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "defaultConfiguration": {"level": _LEVELS[rule.severity]},
            "properties": {"tags": [rule.owasp, rule.checklist]},
        }
        for rule in RULES.values()
    ]
    rules = [*described, *({"id": name, "shortDescription": {"text": name}} for name in foreign)]
    driver = {"name": "renecinfra", "version": __version__, "rules": rules}
    results = [_result(one) for one in audit.findings]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _result(one: Finding) -> dict[str, Any]:
    place: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": one.target}]}
    if one.location is not None:
        place["physicalLocation"] = {
            "artifactLocation": {"uri": one.location.path},
            "region": {"startLine": one.location.line, "startColumn": one.location.column},
        }
    result: dict[str, Any] = {
        "ruleId": one.rule,
        "level": _LEVELS[one.severity],
        "message": {"text": one.message},
        "locations": [place],
    }
    if one.waived is not None:
        result["suppressions"] = [{"kind": "external", "justification": one.waived}]
    return result
