"""Every rule by its id: what it asks for, how much it matters, and which lists it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from renecinfra.errors import Location

Severity = Literal["deny", "warn"]
Aspect = Literal["profile", "objects", "configuration", "resources"]
"""The profile; objects of a cluster; configuration files; resources of a Terraform plan."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``owasp`` is an item of the OWASP Top 10 of 2021, ``checklist`` one of production readiness.

    ``aspects`` are where its violations can be seen: it is checked where at least one of them is there.
    ``deny`` keeps a plan of a protected environment from being applied; ``warn`` is told.
    """

    id: str
    title: str
    severity: Severity
    owasp: str
    checklist: str
    aspects: tuple[Aspect, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation: what breaks which rule, where, and what was seen. Holds no secret."""

    rule: str
    severity: Severity
    target: str
    message: str
    location: Location | None = None
    evidence: str = ""
    waived: str | None = None
    """The reason of the waiver that covers it."""

    def document(self) -> dict[str, Any]:
        """For machines; the schema is docs/reference/schemas/audit.json."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "target": self.target,
            "message": self.message,
            "location": str(self.location) if self.location else None,
            "evidence": self.evidence,
            "waived": self.waived,
        }


_PROFILE: Final = "profile"
_OBJECTS: Final = "objects"
_FILES: Final = "configuration"
_RESOURCES: Final = "resources"
_A01, _A02 = "A01 Broken Access Control", "A02 Cryptographic Failures"
_A04, _A05 = "A04 Insecure Design", "A05 Security Misconfiguration"
_A06, _A07 = "A06 Vulnerable and Outdated Components", "A07 Identification and Authentication Failures"
_A08, _A09 = "A08 Software and Data Integrity Failures", "A09 Security Logging and Monitoring Failures"

OWASP: Final = (
    _A01,
    _A02,
    "A03 Injection",
    _A04,
    _A05,
    _A06,
    _A07,
    _A08,
    _A09,
    "A10 Server-Side Request Forgery",
)
CHECKLIST: Final = ("encryption", "access control", "audit log", "secrets", "scanning", "resilience")

_ALL: Final = (
    Rule("encryption-at-rest", "What is stored is encrypted", "deny", _A02, "encryption", (_RESOURCES,)),
    Rule(
        "encryption-in-transit",
        "What is sent is encrypted",
        "deny",
        _A02,
        "encryption",
        (
            _PROFILE,
            _OBJECTS,
            _RESOURCES,
        ),
    ),
    Rule(
        "tls-version",
        "TLS is 1.2 or newer",
        "deny",
        _A02,
        "encryption",
        (
            _FILES,
            _RESOURCES,
        ),
    ),
    Rule("key-rotation", "Keys are rotated", "warn", _A02, "encryption", (_RESOURCES,)),
    Rule(
        "public-database", "No database has a public address", "deny", _A01, "access control", (_RESOURCES,)
    ),
    Rule("public-bucket", "No bucket is public", "deny", _A01, "access control", (_RESOURCES,)),
    Rule("open-ingress", "Only the web is open to everybody", "deny", _A01, "access control", (_RESOURCES,)),
    Rule(
        "least-privilege",
        "Roles may do what they need, and no more",
        "deny",
        _A01,
        "access control",
        (
            _OBJECTS,
            _RESOURCES,
        ),
    ),
    Rule(
        "network-policy",
        "Pods are reached by those that must reach them",
        "warn",
        _A01,
        "access control",
        (_OBJECTS,),
    ),
    Rule(
        "public-service",
        "Nothing but the edge is reached from outside",
        "deny",
        _A01,
        "access control",
        (_OBJECTS,),
    ),
    Rule("login", "Logins end by themselves", "warn", _A07, "access control", (_PROFILE,)),
    Rule(
        "instance-metadata",
        "Machines' credentials need a token to be read",
        "deny",
        _A05,
        "access control",
        (_RESOURCES,),
    ),
    Rule("privileges", "Containers have no privileges", "deny", _A05, "access control", (_OBJECTS,)),
    Rule(
        "plain-secret",
        "Secrets come from the secret store",
        "deny",
        _A02,
        "secrets",
        (_PROFILE, _OBJECTS),
    ),
    Rule(
        "image-pinned",
        "Images are named by version or digest",
        "deny",
        _A08,
        "scanning",
        (_PROFILE, _OBJECTS),
    ),
    Rule(
        "resources",
        "Containers ask for what they need, and have limits",
        "warn",
        _A04,
        "resilience",
        (_OBJECTS,),
    ),
    Rule("probes", "Containers say when they are ready", "warn", _A04, "resilience", (_OBJECTS,)),
    Rule("disruption", "A drain leaves enough pods", "warn", _A04, "resilience", (_OBJECTS,)),
    Rule("spread", "Replicas are not on one node", "warn", _A04, "resilience", (_OBJECTS,)),
    Rule("replicas", "What must stay up runs more than once", "warn", _A04, "resilience", (_PROFILE,)),
    Rule(
        "backups",
        "There are backups to any point in time",
        "deny",
        _A04,
        "resilience",
        (
            _PROFILE,
            _RESOURCES,
        ),
    ),
    Rule("backup-retention", "Backups are kept long enough", "warn", _A04, "resilience", (_PROFILE,)),
    Rule(
        "deletion-protection",
        "Databases cannot be deleted by accident",
        "deny",
        _A04,
        "resilience",
        (_RESOURCES,),
    ),
    Rule("log-retention", "Logs are kept, and not for ever", "warn", _A09, "audit log", (_RESOURCES,)),
    Rule("audit-log", "The cluster logs who did what", "warn", _A09, "audit log", (_RESOURCES,)),
    Rule("alerting", "Someone is told of what is critical", "deny", _A09, "audit log", (_PROFILE,)),
    Rule("monitoring", "The environment is watched", "deny", _A09, "audit log", (_PROFILE,)),
    Rule("tags", "Resources say whose they are", "warn", _A05, "audit log", (_PROFILE,)),
    Rule("waiver-expired", "Waivers end", "deny", _A05, "access control", (_PROFILE,)),
    Rule("waiver-unknown", "Waivers name a rule", "deny", _A05, "access control", (_PROFILE,)),
    Rule("waiver-unused", "Waivers cover something", "warn", _A05, "access control", (_PROFILE,)),
)
RULES: Final[Mapping[str, Rule]] = {rule.id: rule for rule in _ALL}


def finding(
    rule: str, target: str, message: str, *, location: Location | None = None, evidence: object = None
) -> Finding:
    """A violation of the rule with this id."""
    seen = "" if evidence is None else str(evidence)
    return Finding(rule, RULES[rule].severity, target, message, location, seen)
