"""An application of somebody else's, as small as can be: what a profile's own commands start in a test.

`api PORT` answers any GET with the names of its environment and its directory; `worker` takes from the queue
`harvest`; `beat` only lives.
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        seen = {
            "environment": sorted(os.environ),
            "directory": str(Path.cwd()),
            "pool": os.environ["DATABASE_POOL_SIZE"],
        }
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def work() -> None:
    import redis

    # redis-py gives up on a reply after 5 seconds by its default, which is less than the wait asked for.
    with redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=None) as broker:
        while True:
            broker.brpop(["harvest"], timeout=30)


if __name__ == "__main__":
    if sys.argv[1] == "api":
        ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Api).serve_forever()
    elif sys.argv[1] == "worker":
        work()
    else:
        time.sleep(10**6)
