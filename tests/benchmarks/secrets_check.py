"""How long `secrets check` takes over 100 references, against one sequential read per distinct path.

Run it as ``python tests/benchmarks/secrets_check.py``: it starts an OpenBao of its own. The promise is a
ratio of at most 1.5; a test holds it.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from renecinfra.secrets.references import KvLayout
from renecinfra.secrets.vault import VaultClient
from renecinfra.secrets.vault_store import VaultStore
from renecinfra.secrets.vault_types import Connection, TokenLogin
from renecinfra.sensitive import Secret

REFERENCES = 100
ROUNDS = 7
LIMIT = 1.5


@dataclass(frozen=True)
class Measured:
    """Seconds over references on ``paths`` paths: the least of all rounds, as others' load only adds."""

    paths: int
    sequential: float
    check: float

    @property
    def ratio(self) -> float:
        return self.check / self.sequential


def measure(address: str, token: str, paths: int) -> Measured:
    """Take both in turns, each with a client of its own, so that both connect and log in."""
    layout = KvLayout("secret", f"benchmark/{paths}")
    references = [f"vault:p{number % paths}#f{number // paths}" for number in range(REFERENCES)]

    def client() -> VaultClient:
        return VaultClient(Connection(address), lambda: TokenLogin(Secret(token), "the root token"))

    with client() as writer:
        fields = {f"f{number}": Secret(f"value-{number:03}") for number in range(-(-REFERENCES // paths))}
        for number in range(paths):
            writer.write_secret("secret", f"{layout.base}/p{number}", fields)

    def sequential() -> None:
        with client() as reader:
            for number in range(paths):
                reader.read_secret("secret", f"{layout.base}/p{number}")

    def check() -> None:
        with client() as reader:
            checked = VaultStore(reader, layout).check(references)
        assert len(checked) == REFERENCES
        assert all(one.version == 1 for one in checked)

    taken: dict[Callable[[], None], list[float]] = {sequential: [], check: []}
    for _ in range(ROUNDS):
        for work, times in taken.items():
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    return Measured(paths, min(taken[sequential]), min(taken[check]))


def main() -> int:
    """Print a line for each spread; 1 where the promise is broken."""
    place = Path(__file__).parents[1] / "integration" / "vault" / "conftest.py"
    spec = importlib.util.spec_from_file_location("vault_servers", place)
    assert spec is not None
    assert spec.loader is not None
    servers = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = servers
    spec.loader.exec_module(servers)
    worst = 0.0
    with tempfile.TemporaryDirectory() as directory, servers.running(Path(directory)) as (address, token):
        for paths in (REFERENCES, 25, 5):
            found = measure(address, token, paths)
            worst = max(worst, found.ratio)
            print(
                f"{REFERENCES} references on {paths} paths: check {found.check * 1000:.0f} ms,"
                f" sequential reads {found.sequential * 1000:.0f} ms, ratio {found.ratio:.2f}"
            )
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
