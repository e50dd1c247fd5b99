"""How large AWS's machines are, from their names. For checks before anything is made; no network, no prices.

General-purpose (m), memory (r) and compute (c) families have 4, 8 and 2 GiB for each vCPU in every
generation; only the burstable (t) ones are a table. What is not understood is None: a check then says
nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

GIB: Final = 2**30
_NAME: Final = re.compile(r"(?:db\.|cache\.)?([a-z])[0-9]+[a-z-]*\.([a-z0-9]+)")
_GIB_PER_CPU: Final = {"m": 4, "r": 8, "c": 2}
_BURSTABLE: Final = {"micro": 1.0, "small": 2.0, "medium": 4.0, "large": 8.0, "xlarge": 16.0, "2xlarge": 32.0}
# What Valkey may use of it; ElastiCache keeps the rest. By AWS's own table of node types.
_CACHE_SHARE: Final = {"micro": 0.5, "small": 0.685, "medium": 0.7725}
_CACHE_SHARE_LARGE: Final = 0.79


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine's size; ``memory`` in bytes."""

    cpus: int
    memory: int


def machine(name: str) -> Machine | None:
    """The size of an EC2, RDS or ElastiCache machine; None where the name is not understood."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    family, size = match.groups()
    cpus = _cpus(size)
    if cpus is None:
        return None
    if family == "t":
        gib = _BURSTABLE.get(size)
        return None if gib is None else Machine(2 if size != "xlarge" else 4, int(gib * GIB))
    if family not in _GIB_PER_CPU or size in ("micro", "small"):
        return None
    return Machine(cpus, cpus * _GIB_PER_CPU[family] * GIB)


def cache_memory(name: str) -> int | None:
    """What Valkey may use of a node, in bytes."""
    found, size = machine(name), name.rpartition(".")[2]
    return None if found is None else int(found.memory * _CACHE_SHARE.get(size, _CACHE_SHARE_LARGE))


def _cpus(size: str) -> int | None:
    fixed = {"micro": 2, "small": 2, "medium": 1, "large": 2, "xlarge": 4}
    if size in fixed:
        return fixed[size]
    match = re.fullmatch(r"([0-9]{1,2})xlarge", size)
    return int(match[1]) * 4 if match else None
