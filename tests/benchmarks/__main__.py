"""All benchmarks: `python -m tests.benchmarks [NAME…]`; `--strict` exits 1 when a bound is exceeded."""

from __future__ import annotations

import importlib
import os
import sys

NAMES = ["help", "rendering", "planning", "provisioning", "restoring"]


def main(arguments: list[str]) -> int:
    wanted = [word for word in arguments if not word.startswith("-")] or NAMES
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    over = False
    for name in wanted:
        for result in importlib.import_module(f"tests.benchmarks.{name}").run():
            print(result, flush=True)
            over = over or not result.within
    return 1 if over and "--strict" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
