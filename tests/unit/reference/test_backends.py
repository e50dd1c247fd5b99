"""How the API speaks to Redis."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

from renecinfra import tls
from renecinfra.reference.backends import client


def test_connections_share_one_context_that_trusts_the_environments_authority_alone(tmp_path: Path) -> None:
    tls.ensure(tmp_path / "tls", "localhost")
    made = client(f"rediss://u:p@localhost:1/0?ssl_ca_certs={tmp_path}/tls/ca.crt", 0.1)
    pool: Any = made.connection_pool
    contexts = {id(pool.make_connection().ssl_context.get()) for _ in range(3)}
    assert len(contexts) == 1
    trusted: ssl.SSLContext = pool.make_connection().ssl_context.get()
    assert trusted.cert_store_stats()["x509_ca"] == 1
    assert (trusted.verify_mode, trusted.check_hostname) == (ssl.CERT_REQUIRED, True)
    asyncio.run(made.aclose())


def test_a_plain_address_stays_plain() -> None:
    made = client("redis://u:p@localhost:1/0", 0.1)
    assert "trust" not in made.connection_pool.connection_kwargs
    asyncio.run(made.aclose())
