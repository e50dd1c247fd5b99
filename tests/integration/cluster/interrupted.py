"""An upgrade in a process of its own, for a test that interrupts it."""

from __future__ import annotations

import os
from pathlib import Path

from renecinfra.errors import InterruptedRunError
from renecinfra.kubernetes import releases
from renecinfra.kubernetes.catalogue import Release
from renecinfra.kubernetes.charts import THIRD_PARTY
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.packages import Packages
from renecinfra.kubernetes.tools import Target, find_tools
from renecinfra.reporting import SilentReporter


def main(arguments: list[str]) -> int:
    tools, place = map(Path, arguments)
    cluster = Cluster(find_tools({"PATH": str(tools)}), Target("renec-onprem"), dict(os.environ))
    release = Release("keda", "keda", THIRD_PARTY["keda"], "helm/keda.yaml")
    chart = Packages(cluster, place, place / "charts", str(place / "mirror")).get(release.chart)
    settings = releases.Settings(timeout=60, keep=5, description="interrupted")
    try:
        releases.upgrade(
            cluster, release, chart, place / "build", settings=settings, reporter=SilentReporter()
        )
    except InterruptedRunError as error:
        return int(error.exit_code)
    return 0
