"""The end of old values: due from before a new one is let in until nothing accepts the old one any more.

That it is due is in a file, so that an `up` after a killed or failed run ends them although there is nothing
else to do.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from renecinfra.platforms.local import rotation
from renecinfra.provision.planning import UpPlan
from renecinfra.provision.session import Session
from renecinfra.rendering import write_atomically
from renecinfra.services import home

# Longer than nginx leaves an API alone that did not answer: fail_timeout in templates/edge/nginx.conf.j2, and
# up to a second more, because it compares whole seconds (ngx_time in ngx_http_upstream_round_robin.c).
_SETTLE_SECONDS: Final = 3.2
_API: Final = "api-"


def begin(session: Session, reference: str | None = None) -> None:
    """From now on old values have to end; ``reference`` is one that consumers are given both values of."""
    known = _references(session) or frozenset()
    named = known | ({reference} if reference else set())
    write_atomically(_file(session), "".join(f"{one}\n" for one in sorted(named)), 0o600)


def is_due(session: Session) -> bool:
    """Whether a run began and did not come to the end of old values."""
    return _references(session) is not None


def finish(session: Session, plan: UpPlan, *, resumed: bool = False) -> None:
    """End the old values. Those who were given both are restarted with the new one alone.

    ``resumed`` says that an earlier run began: then the files may be right already, and who read them not.

    Raises:
        SecretsError: a service runs and cannot be told.
        ToolError: a service does not come back.
    """
    host, profile = session.environment.host, session.profile
    rotation.retire(profile, host, plan.secrets)
    changed = home.install(plan.bundle, session.environment.secret_files(plan.secrets), host).changed
    touched = {path.partition("/")[0] for path in changed}
    both = resumed and profile.workloads.api.key in (_references(session) or ())
    known = [one.name for one in session.environment.services]
    services = sorted(name for name in known if name in touched or (both and name.startswith(_API)))
    if resumed and any(name.startswith(_API) for name in services):
        time.sleep(_SETTLE_SECONDS)  # the run before may have ended just as one of them came back
    for name in services:
        with session.reporter.step(f"Restarting {name}"):
            session.supervision.restart(name)
        settle(name)
    done(session)


def done(session: Session) -> None:
    """No old value is accepted any more."""
    _file(session).unlink(missing_ok=True)


def settle(name: str) -> None:
    """Before another API stops, the edge must have noticed that this one is back.

    After the last one too: whatever comes next, a `rollback` at once or a second restart, may stop the first.
    """
    if name.startswith(_API):
        time.sleep(_SETTLE_SECONDS)


def _file(session: Session) -> Path:
    return session.paths.state / "retirement"


def _references(session: Session) -> frozenset[str] | None:
    try:
        return frozenset(_file(session).read_text(encoding="utf-8").split())
    except FileNotFoundError:
        return None
