"""moto's server, with three lies less.

It takes a bucket policy's statement as if its condition always held. Our buckets refuse requests without TLS
by such a statement; moto speaks no TLS and would refuse everything. Here, statements with a condition have no
effect, so that no condition is proven by these tests.

All its instances of RDS have the same resource id, and a replica loses a primary that gets another name. Here
each has its own id, and replicas stay with their primary, as in RDS.

Run as ``python moto.py PORT``. Quiet: its log would be one line for every request.
"""

from __future__ import annotations

import logging
import secrets
import sys
from typing import Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.rds.models import DBInstance, RDSBackend
from moto.server import main

_decide = IAMPolicyStatement.is_action_permitted


def _without_conditions(self: IAMPolicyStatement, *arguments: Any, **named: Any) -> PermissionResult:
    if self._statement.get("Condition"):
        return PermissionResult.NEUTRAL
    return _decide(self, *arguments, **named)


_make_instance = DBInstance.__init__
_modify_instance = RDSBackend.modify_db_instance


def _with_an_id(self: DBInstance, *arguments: Any, **named: Any) -> None:
    _make_instance(self, *arguments, **named)
    self.dbi_resource_id = f"db-{secrets.token_hex(13).upper()}"


def _with_replicas(self: RDSBackend, identifier: str, settings: dict[str, Any]) -> DBInstance:
    new = settings.get("new_db_instance_identifier")
    done = _modify_instance(self, identifier, settings)
    if new is None:
        return done
    for one in self.databases.values():
        if one.source_db_instance_identifier == identifier:
            one.source_db_instance_identifier = new
        one.replicas = [new if name == identifier else name for name in one.replicas]
    return done


if __name__ == "__main__":
    DBInstance.__init__ = _with_an_id  # type: ignore[method-assign]
    RDSBackend.modify_db_instance = _with_replicas  # type: ignore[method-assign, assignment]
    IAMPolicyStatement.is_action_permitted = _without_conditions  # type: ignore[method-assign]
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
