"""moto's server, with one lie less: it takes a bucket policy's statement as if its condition always held.

Our buckets refuse requests without TLS by such a statement; moto speaks no TLS and would refuse everything.
Here, statements with a condition have no effect, so that no condition is proven by these tests.

Run as ``python moto.py PORT``. Quiet: its log would be one line for every request.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.server import main

_decide = IAMPolicyStatement.is_action_permitted


def _without_conditions(self: IAMPolicyStatement, *arguments: Any, **named: Any) -> PermissionResult:
    if self._statement.get("Condition"):
        return PermissionResult.NEUTRAL
    return _decide(self, *arguments, **named)


if __name__ == "__main__":
    IAMPolicyStatement.is_action_permitted = _without_conditions  # type: ignore[method-assign]
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
