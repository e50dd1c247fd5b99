"""The exact command lines, which differ between Helm 3 and 4; nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from renecinfra.errors import ToolError
from renecinfra.kubernetes.charts import THIRD_PARTY, Chart, own
from renecinfra.kubernetes.helm import Helm
from renecinfra.kubernetes.kubectl import Kubectl
from renecinfra.kubernetes.tools import Target, Tool

TARGET = Target("renec-onprem", Path("/k"))
HELM3 = Helm(Tool("helm", (3, 17, 2)), TARGET)
HELM4 = Helm(Tool("helm", (4, 3, 1)), TARGET)


def upgrade(helm: Helm, *, hooks: bool = True) -> str:
    chart = ["keda", "--repo", "https://example.org", "--version", "2"]
    return " ".join(
        helm.upgrade("keda", chart, "keda", Path("/v"), hooks=hooks, timeout=600, keep=5, description="up")
    )


def test_an_upgrade_waits_and_goes_back() -> None:
    shared = (
        "helm upgrade keda keda --repo https://example.org --version 2 --kube-context renec-onprem "
        "--kubeconfig /k --install --create-namespace --namespace keda --values /v --reset-values "
        "--timeout 600s --history-max 5 --description up --cleanup-on-fail "
    )
    assert upgrade(HELM3) == shared + "--wait --wait-for-jobs --atomic"
    assert upgrade(HELM4) == shared + "--wait=watcher --wait-for-jobs --rollback-on-failure --force-conflicts"
    assert upgrade(HELM4, hooks=False).endswith(" --no-hooks")


def test_helm_3_has_to_be_asked_for_what_is_pending() -> None:
    assert "--all" in HELM3.releases()
    assert "--all" not in HELM4.releases()


def test_a_rollback_names_its_revision() -> None:
    argv = HELM4.rollback("renec", 7, "renec", timeout=60, hooks=False)
    assert argv[:4] == ["helm", "rollback", "renec", "7"]
    assert argv[-1] == "--no-hooks"


def test_kubectl_never_uses_the_current_context() -> None:
    kubectl = Kubectl(Tool("kubectl", (1, 37, 1)), TARGET)
    for argv in (
        kubectl.version(),
        kubectl.get("pods", "renec"),
        kubectl.raw("/version"),
        kubectl.can_i("create", "pods", "renec"),
        kubectl.apply("renec"),
        kubectl.delete("pods", ("a",), "renec"),
        kubectl.logs("a=b", "renec", lines=5, follow=True),
    ):
        assert argv[1:3] == ["--context", "renec-onprem"]
    assert "--follow" in kubectl.logs("a=b", "renec", lines=5, follow=True)
    assert "--server-side" in kubectl.apply()


@pytest.mark.parametrize(
    ("mirror", "argv"),
    [
        (None, ["keda", "--repo", "https://kedacore.github.io/charts", "--version", "2.20.2"]),
        ("oci://r.example.org/charts", ["oci://r.example.org/charts/keda", "--version", "2.20.2"]),
        ("https://c.example.org", ["keda", "--repo", "https://c.example.org", "--version", "2.20.2"]),
    ],
)
def test_where_a_chart_comes_from(mirror: str | None, argv: list[str]) -> None:
    assert THIRD_PARTY["keda"].argv(mirror, Path("/w")) == argv


def test_a_mirrors_directory(tmp_path: Path) -> None:
    chart = THIRD_PARTY["cert-manager"]
    with pytest.raises(ToolError) as caught:
        chart.argv("charts", tmp_path)
    assert "helm pull cert-manager --repo" in (caught.value.hint or "")
    (tmp_path / "charts").mkdir()
    # Packages are named with and without the version's v.
    (tmp_path / "charts" / "cert-manager-1.21.1.tgz").touch()
    assert chart.argv("charts", tmp_path) == [str(tmp_path / "charts" / "cert-manager-1.21.1.tgz")]


def test_ours_come_from_no_mirror() -> None:
    chart = own("renec-harvester", Path("/t"))
    assert chart.argv("oci://r.example.org", Path("/w")) == ["/t/charts/renec-harvester"]
    assert not Chart("a", "1", "https://example.org").is_ours
