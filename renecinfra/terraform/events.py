"""The events of Terraform's ``-json`` output, typed.

Source: https://developer.hashicorp.com/terraform/internals/machine-readable-ui (format 1.x); OpenTofu prints
the same. Kinds that are not known here are kept under their own name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from renecinfra.terraform.diagnostics import Diagnostic

OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class TerraformEvent:
    """One line of output.

    ``kind`` is Terraform's ``type`` (``planned_change``, ``apply_start``, ``apply_complete``,
    ``provision_progress``, ``diagnostic``, ``change_summary`` …), or ``output`` for a line that is no event,
    kept whole in ``message``. ``elapsed`` is in seconds. ``counts`` are those of a change summary.
    """

    kind: str
    message: str
    address: str | None = None
    action: str | None = None
    elapsed: float | None = None
    reason: str | None = None
    diagnostic: Diagnostic | None = None
    counts: Mapping[str, int] | None = None


def parse_event(line: str) -> TerraformEvent:
    """The event that a line of output is; never fails."""
    try:
        data = json.loads(line)
    except ValueError:
        return TerraformEvent(OUTPUT, line)
    if not isinstance(data, dict) or not isinstance(data.get("@message"), str):
        return TerraformEvent(OUTPUT, line)
    # `resource_drift` and `planned_change` have a change; everything that happens has a hook.
    about = _mapping(data, "change") or _mapping(data, "hook")
    resource = _mapping(about, "resource")
    diagnostic = _mapping(data, "diagnostic")
    elapsed = about.get("elapsed_seconds")
    counts = {name: n for name, n in _mapping(data, "changes").items() if isinstance(n, int)}
    return TerraformEvent(
        kind=str(data.get("type", "log")),
        message=data["@message"],
        address=_text(resource, "addr"),
        action=_text(about, "action"),
        elapsed=elapsed if isinstance(elapsed, int | float) else None,
        reason=_text(about, "reason"),
        diagnostic=Diagnostic.parse(diagnostic) if diagnostic else None,
        counts=counts or None,
    )


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) and value else None
