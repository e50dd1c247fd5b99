"""All benchmarks: `python -m tests.benchmarks [NAME…]`; `--strict` exits 1 when a bound is exceeded."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

NAMES = ["help", "rendering", "planning", "provisioning", "restoring"]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; all if none")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bound is exceeded")
    asked = parser.parse_args(arguments)
    unknown = set(asked.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    over = False
    for name in asked.names or NAMES:
        for result in importlib.import_module(f"tests.benchmarks.{name}").run():
            print(result, flush=True)
            over = over or not result.within
    return 1 if over and asked.strict else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
