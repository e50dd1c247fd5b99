"""The command that Terraform's provisioners run.

``python -I -S control.py --home HOME up|down|status|start NAME|stop NAME|restart NAME``. Exits 0 when it is
done, 1 with a message on stderr when it failed, 64 when the command line is wrong. Run isolated and without
site-packages, because it is run once for every service: its own start takes about 30 ms.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":  # run by path and isolated, so the package's parent is not on sys.path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from renecinfra.agents import lifecycle
from renecinfra.agents.home import AgentError, Home, load_home
from renecinfra.agents.rpc import SupervisorDown
from renecinfra.agents.supervisord import down, up

_USAGE = "usage: control.py --home HOME (up | down | status | start NAME | stop NAME | restart NAME)"

_PARENT_SECONDS = 0.25


def status(home: Home) -> bool:
    """Print every process as supervisord sees it, as JSON; whether all of them run or are done."""
    try:
        infos = lifecycle.supervisor(home).call("getAllProcessInfo")
    except SupervisorDown as error:
        raise AgentError(str(error)) from None
    shown = {info["name"]: {key: info[key] for key in ("statename", "pid", "exitstatus")} for info in infos}
    print(json.dumps(shown, indent=2, sort_keys=True))  # noqa: T201
    return all(
        info["statename"] == "RUNNING" or (info["statename"] == "EXITED" and info["exitstatus"] == 0)
        for info in infos
    )


def main(arguments: list[str]) -> int:
    """Run one command; see the module's docstring."""
    whole: dict[str, Callable[[Home], object]] = {
        "up": up,
        "down": down,
        "status": status,
    }
    one: dict[str, Callable[[Home, str], None]] = {
        "start": lifecycle.start,
        "stop": lifecycle.stop,
        "restart": lifecycle.start,
    }
    try:
        match arguments:
            case ["--home", path, command] if command in whole:
                done = whole[command](load_home(Path(path)))
            case ["--home", path, command, name] if command in one:
                one[command](load_home(Path(path)), name)
                done = True
            case _:
                print(_USAGE, file=sys.stderr)  # noqa: T201
                return 64
    except AgentError as error:
        print(f"renecinfra: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 1 if command == "status" and not done else 0


@contextlib.contextmanager
def ends_with_parent() -> Iterator[None]:
    """Fail what is within as soon as whoever ran this command is gone.

    A start that outlives a killed Terraform would hold the service's lock, or, waiting for it, restart what
    the next run has long started.
    """
    parent = os.getppid()

    def look(number: int, frame: object) -> None:
        del number, frame
        if os.getppid() != parent:
            raise AgentError("given up, because the process that asked for it is gone")

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _PARENT_SECONDS, _PARENT_SECONDS)
    try:
        yield
    finally:
        # Not left on: while Python shuts down, the handler is gone and the signal would kill.
        signal.setitimer(signal.ITIMER_REAL, 0)


def _run(arguments: list[str]) -> int:
    # To stop is worth finishing in any case.
    with ends_with_parent() if "start" in arguments[2:3] else contextlib.nullcontext():
        return main(arguments)


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
