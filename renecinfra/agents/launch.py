"""Become a service: what supervisord runs for each one.

``python -I -S launch.py --home HOME SERVICE`` ends what an earlier start of the same service left behind,
builds the environment from nothing but the manifest and the service's secret files, and executes the
command. It runs as the service user. ``exec`` keeps the process id: supervisord watches the service itself.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":  # run by path and isolated, so the package's parent is not on sys.path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from renecinfra.agents import home as homes
from renecinfra.agents import processes
from renecinfra.agents.home import AgentError

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(home: homes.Home, manifest: homes.Manifest) -> dict[str, str]:
    """The service's whole environment: nothing of whoever started supervisord reaches it.

    Raises:
        AgentError: a secret file is missing, malformed, or open to others.
    """
    variables = {
        "PATH": _PATH,
        "HOME": str(home.path / "data" / manifest.name),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": str(home.path / "lib"),
        "PYTHONUNBUFFERED": "1",
        **manifest.environment,
    }
    for name in manifest.env_files:
        variables |= homes.read_env_file(home.path / "etc" / manifest.name / name)
    variables[processes.MARKER] = f"{home.path}/{manifest.name}"
    return variables


def end_leftovers(home: homes.Home, manifest: homes.Manifest) -> None:
    """End what an earlier start left: a killed nginx's workers hold its port for as long as they live.

    Raises:
        AgentError: something survived SIGKILL.
    """
    left = processes.end(
        lambda: processes.belonging(home.path, home.run, home.uid, manifest.name),
        signal.Signals[f"SIG{manifest.stop_signal}"],
        manifest.stop_seconds,
    )
    if left:
        raise AgentError(f"cannot end what is left of an earlier start: pid {left[0].pid}")


def become(home: homes.Home, manifest: homes.Manifest) -> NoReturn:
    """Replace this process by the service.

    Raises:
        AgentError: its directory cannot be entered, or its command cannot be executed.
    """
    variables = environment(home, manifest)
    os.umask(0o077)
    (home.path / "data" / manifest.name).mkdir(exist_ok=True)
    processes.write_record(processes.record_path(home.run, manifest.name))
    # Python ignores these two from its start, and what is ignored stays so across an exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.chdir(manifest.directory)
        os.execvpe(manifest.command[0], manifest.command, variables)  # noqa: S606 - a fixed argv, no shell
    except OSError as error:
        what = f"{manifest.command[0]} in {manifest.directory}"
        raise AgentError(f"cannot execute {what}: {os.strerror(error.errno or 0)}") from None


def main(arguments: list[str]) -> int:
    """``--home HOME SERVICE``; returns only when the service could not be started."""
    if len(arguments) != 3 or arguments[0] != "--home":
        print("usage: launch.py --home HOME SERVICE", file=sys.stderr)  # noqa: T201
        return 64
    try:
        home = homes.load_home(Path(arguments[1]))
        manifest = homes.load_manifest(home.path, arguments[2])
        end_leftovers(home, manifest)
        become(home, manifest)
    except AgentError as error:
        print(f"launch: {arguments[2]}: {error}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
