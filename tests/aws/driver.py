"""`up` and `down` with a stand-in for what deploys releases. Run as ``python driver.py up|down ENV LOG``.

The stand-in proves how the flow calls it: with the outputs, and with a kubeconfig that is there for the
call alone.
"""

from __future__ import annotations

import json
import stat
import sys
import time
from pathlib import Path

from renecinfra.errors import RenecError
from renecinfra.platforms.releases import ReleaseContext
from renecinfra.provision.aws import bring_up, tear_down
from renecinfra.provision.aws.session import open_aws
from renecinfra.reporting import SilentReporter
from renecinfra.workspace import find_workspace


class Recorded:
    """Writes down what it is asked."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def apply(self, context: ReleaseContext) -> None:
        self._write("apply", context)

    def remove(self, context: ReleaseContext) -> None:
        self._write("remove", context)

    def _write(self, what: str, context: ReleaseContext) -> None:
        time.sleep(0.3)
        config = json.loads(context.kubeconfig.read_text())
        entry = {
            "what": what,
            "cluster": context.outputs["cluster"]["name"],
            "kubeconfig": str(context.kubeconfig),
            "mode": stat.S_IMODE(context.kubeconfig.stat().st_mode),
            "command": config["users"][0]["user"]["exec"]["args"],
            "secrets": len(context.secrets),
        }
        with self._log.open("a") as log:
            log.write(json.dumps(entry) + "\n")


def main(command: str, name: str, log: str, *overrides: str) -> int:
    session = open_aws(find_workspace(), name, SilentReporter(), overrides=overrides)
    assert session is not None
    releases = Recorded(Path(log))
    try:
        if command == "up":
            questions = bring_up.Questions(lambda _looked: None, lambda _made: None)
            result = bring_up.up(session, questions, ["up"], releases)
            print(json.dumps(result.document()))
        else:
            done = tear_down.down(
                session, lambda _made: None, ["down"], delete_backups=False, releases=releases
            )
            print(json.dumps(done.document()))
    except RenecError as error:
        print(f"{error.id}: {error.message} {error.details}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
