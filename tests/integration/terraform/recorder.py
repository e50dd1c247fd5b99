"""Runs the program after LOG, and writes there every SIGINT that it is sent and that it has ended.

It passes each SIGINT on, and lingers after the end, so that one that comes too many is seen.
"""

from __future__ import annotations

import os
import signal
import sys
import time

with open(sys.argv[1], "a", buffering=1) as log:  # noqa: PTH123 - as small as can be
    child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)

    def interrupt(_number: int, _frame: object) -> None:
        log.write("SIGINT\n")
        os.kill(child, signal.SIGINT)

    signal.signal(signal.SIGINT, interrupt)
    status = os.waitpid(child, 0)[1]
    signal.signal(signal.SIGINT, lambda *_: log.write("SIGINT\n") and None)
    time.sleep(0.4)
    log.write("ended\n")
sys.exit(os.waitstatus_to_exitcode(status))
