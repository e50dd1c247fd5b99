"""Reading many references costs no more than it must, on this machine and from afar."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
import time
from types import ModuleType

import pytest

from renecinfra.secrets.references import KvLayout
from renecinfra.secrets.vault import PARALLEL, VaultClient
from renecinfra.secrets.vault_store import VaultStore
from renecinfra.secrets.vault_types import Connection, TokenLogin
from renecinfra.sensitive import Secret

from .conftest import ROOT, json_answer

pytestmark = pytest.mark.integration


@pytest.fixture
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("secrets_check", ROOT / "tests/benchmarks/secrets_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("paths", [100, 25])
def test_a_hundred_references_cost_one_read_per_path(server, benchmark, paths):
    measured = benchmark.measure(*server, paths)
    assert measured.ratio <= benchmark.LIMIT


def test_a_vault_far_away_is_asked_several_things_at_once_but_not_too_many(http_server):
    waiting, most, lock = 0, 0, threading.Lock()

    def answer(request):
        nonlocal waiting, most
        with lock:
            waiting += 1
            most = max(most, waiting)
        time.sleep(0.05)
        with lock:
            waiting -= 1
        metadata = {"version": 1, "created_time": "2026-01-02T03:04:05Z"}
        return json_answer(200, json.dumps({"data": {"data": {"a": "value"}, "metadata": metadata}}))

    with VaultClient(
        Connection(http_server(answer)), lambda: TokenLogin(Secret("hvs.example"), "VAULT_TOKEN")
    ) as client:
        checked = VaultStore(client, KvLayout("kv", "renec")).check(f"vault:p{n}#a" for n in range(42))
    assert all(one.version == 1 for one in checked)
    assert 1 < most <= PARALLEL
