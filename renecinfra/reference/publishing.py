"""How the harvester tells the API's cache that the register has changed."""

from __future__ import annotations

from typing import Final

import redis

CACHE_VERSION: Final = "cache:version"
"""The key whose value every cached answer must have been made under."""


def publish(url: str, run_id: int) -> None:
    """Make every cached answer old; raises redis.exceptions.RedisError."""
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as connection:
        connection.set(CACHE_VERSION, str(run_id))
