"""Which chart, in which version, from where. Pure, but that a mirror's directory is looked into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from renecinfra.errors import ToolError


@dataclass(frozen=True, slots=True)
class Chart:
    """A pinned chart. ``repository`` is an https:// chart repository, an oci:// registry, or a directory.

    Below the paths in ``free`` its values are another program's configuration, where any key may stand.
    """

    name: str
    version: str
    repository: str
    free: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """As Helm's list calls it."""
        return f"{self.name}-{self.version}"

    def argv(self, mirror: str | None, workspace: Path) -> list[str]:
        """How Helm is told of it; ``mirror`` takes the place of the chart's own repository.

        Raises:
            ToolError: the mirror is a directory and does not have it.
        """
        place = self.repository if mirror is None or self.is_ours else mirror
        if place.startswith("oci://"):
            return [f"{place.rstrip('/')}/{self.name}", "--version", self.version]
        if place.startswith(("https://", "http://")):
            return [self.name, "--repo", place, "--version", self.version]
        return [str(self._in_directory(workspace / Path(place).expanduser()))]

    def local(self, mirror: str | None) -> bool:
        """Whether it is on this machine already: one of ours, or in a mirror's directory."""
        return self.is_ours or (mirror is not None and "://" not in mirror)

    @property
    def is_ours(self) -> bool:
        """Whether it comes with renecinfra."""
        return "://" not in self.repository

    def _in_directory(self, directory: Path) -> Path:
        """The unpacked chart, or its package as `helm pull` leaves it; a version with and without its v."""
        if self.is_ours:
            return directory / self.name
        bare = self.version.removeprefix("v")
        names = (f"{self.name}-{self.version}.tgz", f"{self.name}-{bare}.tgz", f"{self.name}-v{bare}.tgz")
        for name in names:
            if (directory / name).is_file():
                return directory / name
        raise ToolError(
            "chart-missing",
            f"the mirror {directory} has no {names[0]}",
            hint=f"on a machine with internet: `{self._pull()}`, then copy it there",
        )

    def _pull(self) -> str:
        if self.repository.startswith("oci://"):
            return f"helm pull {self.repository}/{self.name} --version {self.version}"
        return f"helm pull {self.name} --repo {self.repository} --version {self.version}"


_PROMETHEUS: Final = "https://prometheus-community.github.io/helm-charts"
_CNPG: Final = "https://cloudnative-pg.github.io/charts"
_ELASTIC: Final = "https://helm.elastic.co"

THIRD_PARTY: Final[Mapping[str, Chart]] = {
    chart.name: chart
    for chart in (
        Chart("kube-prometheus-stack", "88.5.3", _PROMETHEUS),
        Chart("cert-manager", "v1.21.1", "https://charts.jetstack.io"),
        Chart("external-secrets", "2.9.0", "https://charts.external-secrets.io"),
        Chart("keda", "2.20.2", "https://kedacore.github.io/charts"),
        Chart("cloudnative-pg", "0.29.0", _CNPG),
        Chart("plugin-barman-cloud", "0.7.0", _CNPG),
        Chart("aws-load-balancer-controller", "3.5.0", "https://aws.github.io/eks-charts"),
        Chart("cluster-autoscaler", "9.50.1", "https://kubernetes.github.io/autoscaler"),
        Chart("eck-operator", "3.5.0", _ELASTIC),
        Chart("eck-stack", "0.20.0", _ELASTIC),
        Chart("jaeger", "4.11.1", "https://jaegertracing.github.io/helm-charts"),
        Chart(
            "opentelemetry-collector",
            "0.170.0",
            "https://open-telemetry.github.io/opentelemetry-helm-charts",
            free=("config",),
        ),
    )
}
"""Every chart that is not ours, by name."""


def own(name: str, templates: Path) -> Chart:
    """A chart of ours."""
    return Chart(name, "1.0.0", str(templates / "charts"))
