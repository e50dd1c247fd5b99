"""Charts as files: got once, kept by version, and read for what they know and bring."""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from renecinfra.errors import ClusterError
from renecinfra.kubernetes import diffing
from renecinfra.kubernetes.charts import Chart
from renecinfra.kubernetes.cluster import Cluster

_PULL_SECONDS: Final = 180.0
# A key, also in a comment that shows how it would be written.
_KEY: Final = re.compile(r"^[\s#-]*([A-Za-z0-9_./-]+):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Packages:
    """Where charts come from, and the directory that those of repositories are kept in."""

    cluster: Cluster
    workspace: Path
    cache: Path
    mirror: str | None = None

    def get(self, chart: Chart) -> list[str]:
        """How Helm is told of the chart, which is on this machine afterwards: what was planned is applied.

        Raises:
            ToolError: a mirror's directory does not have it.
            ClusterError: its repository cannot be reached, or does not have it.
        """
        argv = chart.argv(self.mirror, self.workspace)
        if chart.local(self.mirror):
            return argv
        kept = self.cache / f"{chart.label}.tgz"
        if not kept.is_file():
            self.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=self.cache, prefix=".pulling-") as work:
                self.cluster.read(self.cluster.helm.pull(argv, Path(work)), seconds=_PULL_SECONDS)
                packages = list(Path(work).glob("*.tgz"))
                if len(packages) != 1:
                    raise ClusterError(
                        "chart-missing",
                        f"`helm pull {chart.label}` left {len(packages)} packages",
                        hint="check releases.mirror",
                    )
                packages[0].replace(kept)
        return [str(kept)]

    def unknown_keys(self, chart: Chart, argv: list[str], values: Any) -> list[str]:
        """Keys of ``values`` that the chart would ignore in silence."""
        files = _files(Path(argv[0]))
        texts = "\n".join(text for path, text in files.items() if path.endswith("values.yaml"))
        mentioned = set(_KEY.findall(texts))
        return diffing.unknown_keys(values, _with_subcharts(files), mentioned, chart.free)


def _files(chart: Path) -> dict[str, str]:
    """Every values.yaml and Chart.yaml of a chart, by its path in it."""
    names = ("values.yaml", "Chart.yaml")
    if chart.is_dir():
        return {
            path.relative_to(chart).as_posix(): path.read_text(encoding="utf-8")
            for name in names
            for path in chart.rglob(name)
        }
    found = {}
    with tarfile.open(chart) as package:
        for member in package:
            inside = member.name.partition("/")[2]
            stream = package.extractfile(member) if inside.rpartition("/")[2] in names else None
            if stream is not None:
                found[inside] = stream.read().decode("utf-8")
    return found


def _with_subcharts(files: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(files.get(f"{prefix}values.yaml", "")) or {}
    described = yaml.safe_load(files.get(f"{prefix}Chart.yaml", "")) or {}
    for dependency in described.get("dependencies") or []:
        name = dependency["name"]
        below = _with_subcharts(files, f"{prefix}charts/{name}/")
        if below:
            key = dependency.get("alias") or name
            values[key] = _merged(below, values.get(key) or {})
    values.setdefault("global", {})
    return values


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        below[key] = _merged(below[key], value) if both else value
    return below
