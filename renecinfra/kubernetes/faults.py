"""What Helm and kubectl print when they fail, as errors that say what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from renecinfra.errors import ClusterError
from renecinfra.kubernetes.tools import Target

_TAIL_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class _Fault:
    id: str
    pattern: re.Pattern[str]
    message: Callable[[re.Match[str], str], str]
    hint: Callable[[re.Match[str], str], str]


def _fault(
    id_: str,
    pattern: str,
    message: Callable[[re.Match[str], str], str],
    hint: Callable[[re.Match[str], str], str],
) -> _Fault:
    return _Fault(id_, re.compile(pattern, re.IGNORECASE | re.DOTALL), message, hint)


# In this order: what is said first explains what follows it in the same output.
_FAULTS: Final = (
    _fault(
        "cluster-context",
        r"context (?:was not found for specified context: |\")([^\"\n]+?)(?:\" does not exist|\s|$)",
        lambda _m, context: f"the kubeconfig has no context {context}",
        lambda _m, _c: "`kubectl config get-contexts` lists those there are; KUBECONFIG names another file",
    ),
    _fault(
        "cluster-credentials",
        r"unauthorized|must be logged in|provide credentials|token (?:has|is) expired|expired token|"
        r"getting credentials: exec|certificate has expired",
        lambda _m, context: f"the credentials of context {context} are not accepted: expired, or not there",
        lambda _m, _c: "log in to the cluster again (your provider's login command), then repeat",
    ),
    _fault(
        "cluster-forbidden",
        r"(?:User )?\"([^\"]+)\" cannot (\w+) resource \"([^\"]+)\"(?: in API group \"([^\"]*)\")?",
        lambda m, _c: f"{m[1]} may not {m[2]} {m[3]}{'.' + m[4] if m[4] else ''}",
        lambda m, _c: f"have a cluster administrator grant the verb {m[2]} on {m[3]} to {m[1]}",
    ),
    _fault(
        "cluster-quota",
        r"exceeded quota: ([^,\n]+), requested: ([^\n]+?), used: ([^\n]+?), limited: ([^\n\"]+)",
        lambda m, _c: f"the quota {m[1]} is used up: {m[2]} asked for, {m[3]} used of {m[4]}",
        lambda _m, _c: "raise the ResourceQuota, or lower replicas or resources in the profile",
    ),
    _fault(
        "cluster-crd",
        r"no matches for kind \"([^\"]+)\" in version \"([^\"]+)\"",
        lambda m, _c: f"the cluster does not know {m[1]} ({m[2]})",
        lambda _m, _c: "its operator's release comes first: is it in releases.provided and not installed?",
    ),
    _fault(
        "release-stuck",
        r"another operation \(install/upgrade/rollback\) is in progress",
        lambda _m, _c: "the release is left as if another operation were under way",
        lambda _m, _c: "run `renecinfra up` for the environment: it explains the state and offers the repair",
    ),
    _fault(
        "values-invalid",
        r"values don't meet the specifications of the schema\(s\) in the following chart\(s\):\s*(.+)",
        lambda _m, _c: "the values do not fit the chart's schema",
        lambda _m, _c: "mend the template below templates/helm, or use the chart version that it is for",
    ),
    _fault(
        "chart-missing",
        r"chart \"?([^\s\"]+)\"?.{0,80}not found|failed to (?:fetch|pull) |failed to download \"|"
        r"not a valid chart repository|path \"([^\"]+)\" not found|repo .{0,200} not found",
        lambda _m, _c: "a chart cannot be had",
        lambda _m, _c: "check the way to its repository, or set releases.mirror to one that has all charts",
    ),
    _fault(
        "cluster-security",
        r"violates PodSecurity \"([^\"]+)\": ([^\n]+)",
        lambda m, _c: f"the namespace's pod security {m[1]} refuses a pod: {m[2]}",
        lambda _m, _c: "the charts follow the restricted policy; a profile's own command may not",
    ),
    _fault(
        "cluster-webhook",
        r"failed calling webhook \"([^\"]+)\"",
        lambda m, _c: f"the admission webhook {m[1]} does not answer",
        lambda _m, _c: "look at its pods: an operator that was just installed may need a minute",
    ),
    _fault(
        "cluster-certificate",
        r"x509: ([^\n]+)",
        lambda m, context: f"the certificate of context {context} is not trusted: {m[1]}",
        lambda _m, _c: (
            "check certificate-authority of the cluster in the kubeconfig, and this machine's clock"
        ),
    ),
    _fault(
        "migrations-failed",
        r"(?:pre-install|pre-upgrade) hooks? failed",
        lambda _m, _c: "the migrations failed, so nothing of the new version was started",
        lambda _m, _c: "read their log: `kubectl logs --namespace NAMESPACE job/renec-migrations`",
    ),
    _fault(
        "cluster-unreachable",
        r"connection refused|no such host|i/o timeout|network is unreachable|no route to host|"
        r"unable to connect to the server|cluster unreachable|tls handshake timeout|was refused",
        lambda _m, context: f"no cluster answers behind context {context}",
        lambda _m, _c: "check the network (VPN?) and the server's address in the kubeconfig",
    ),
    _fault(
        "release-timeout",
        r"context deadline exceeded|timed out waiting|resource not ready|not ready within|"
        r"client rate limiter wait returned an error",
        lambda _m, _c: "not everything became ready in time",
        lambda _m, _c: "see what is said of the pods above; raise releases.timeout if it is only slow",
    ),
)


def explain(printed: str, target: Target, what: str) -> ClusterError:
    """The error that the output of a failed ``what`` (``helm upgrade``, say) stands for."""
    tail = tuple(line for line in printed.strip().splitlines() if line.strip())[-_TAIL_LINES:]
    for fault in _FAULTS:
        match = fault.pattern.search(printed)
        if match is not None:
            return ClusterError(
                fault.id,
                f"{what}: {fault.message(match, target.context)}",
                hint=fault.hint(match, target.context),
                details=tail,
            )
    return ClusterError(
        "cluster-refused",
        f"{what} failed",
        hint="the lines above are what it said; --debug shows where it was called",
        details=tail,
    )
