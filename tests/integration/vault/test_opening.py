"""A token that lives as long as the work: renewed meanwhile, and refused before the work where it cannot."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from renecinfra.errors import SecretsError
from renecinfra.secrets.opening import kept_alive, require_life

pytestmark = pytest.mark.integration
SELF = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
"""


def test_a_root_token_never_ends(bao):
    require_life(bao.root, timedelta(days=100))
    with kept_alive(bao.root, pytest.fail):
        pass


def test_a_short_token_is_made_longer(bao):
    client = bao.client(bao.token(SELF, ttl="1m"))
    require_life(client, timedelta(hours=1))
    assert (client.lookup_self().ttl or 0) > 3500


@pytest.mark.parametrize("options", [{"renewable": False}, {"explicit_max_ttl": "2m"}])
def test_one_that_would_expire_is_told_before_the_work(bao, options):
    client = bao.client(bao.token(SELF, ttl="1m", **options))
    with pytest.raises(SecretsError, match="expires in ") as caught:
        require_life(client, timedelta(minutes=30))
    assert caught.value.id == "vault-token-expiring"
    assert "30m" in caught.value.message


def test_a_periodic_token_is_enough_for_any_work(bao):
    require_life(bao.client(bao.token(SELF, period="1m")), timedelta(hours=5))


def test_a_token_is_renewed_while_work_lasts(bao):
    client = bao.client(bao.token(SELF, period="3s", ttl="3s"))
    failures: list[str] = []
    with kept_alive(client, failures.append):
        time.sleep(4)
        assert (client.lookup_self().ttl or 0) >= 0
    assert failures == []
    assert "vault-token" not in {thread.name for thread in threading.enumerate()}


def test_a_renewal_that_fails_is_told_once(bao):
    token = bao.token(SELF, period="2s", ttl="2s")
    client = bao.client(token)
    told: list[str] = []
    with kept_alive(client, told.append):
        bao.root.request("POST", "auth/token/revoke", {"token": token})
        time.sleep(2.5)
    assert len(told) == 1
    assert "token" in told[0]
