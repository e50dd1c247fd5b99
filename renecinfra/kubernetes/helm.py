"""Helm's command lines. Pure: they are built here, and run in ``cluster`` alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from renecinfra.kubernetes.tools import Target, Tool

Argv = list[str]


@dataclass(frozen=True, slots=True)
class Helm:
    """Builds command lines for one Helm and one cluster."""

    tool: Tool
    target: Target

    def _command(self, *words: str) -> Argv:
        kubeconfig = ["--kubeconfig", str(self.target.kubeconfig)] if self.target.kubeconfig else []
        return [self.tool.path, *words, "--kube-context", self.target.context, *kubeconfig]

    def releases(self) -> Argv:
        """Every release of every namespace, those under way or failed among them."""
        # Helm 4 lists all of them without being asked, and no longer knows the flag.
        every = ["--all"] if self.tool.major < 4 else []
        return [*self._command("list"), "--all-namespaces", *every, "--max", "0", "--output", "json"]

    def history(self, name: str, namespace: str) -> Argv:
        """A release's revisions."""
        return [*self._command("history", name), "--namespace", namespace, "--output", "json"]

    def manifest(self, name: str, namespace: str, revision: int | None = None) -> Argv:
        """What a release consists of, hooks left out."""
        return [*self._command("get", "manifest", name), "--namespace", namespace, *_revision(revision)]

    def values(self, name: str, namespace: str, revision: int | None = None) -> Argv:
        """The values that a release was given."""
        command = self._command("get", "values", name)
        return [*command, "--namespace", namespace, "--output", "json", *_revision(revision)]

    def template(
        self,
        name: str,
        chart: Sequence[str],
        namespace: str,
        *,
        kube_version: str,
        api_versions: Sequence[str] = (),
        hooks: bool = False,
    ) -> Argv:
        """What a release would consist of; asks no cluster. Values come on standard input."""
        words = [self.tool.path, "template", name, *chart, "--namespace", namespace]
        words += ["--values", "-", "--is-upgrade", "--kube-version", kube_version]
        words += [] if hooks else ["--no-hooks"]
        return [*words, *(f"--api-versions={one}" for one in api_versions)]

    def upgrade(
        self,
        name: str,
        chart: Sequence[str],
        namespace: str,
        values: Path,
        *,
        timeout: int,
        keep: int,
        description: str,
        hooks: bool = True,
    ) -> Argv:
        """Install or upgrade a release, wait until it is ready, and roll back by itself where it is not."""
        words = self._command("upgrade", name, *chart)
        words += ["--install", "--create-namespace", "--namespace", namespace, "--values", str(values)]
        # The values are whole: nothing of an earlier revision's comes along.
        words += ["--reset-values", "--timeout", f"{timeout}s", "--history-max", str(keep)]
        words += ["--description", description, "--cleanup-on-fail"]
        if self.tool.major < 4:
            words += ["--wait", "--wait-for-jobs", "--atomic"]
        else:
            # Objects that a controller or a person has changed since are ours again.
            words += ["--wait=watcher", "--wait-for-jobs", "--rollback-on-failure", "--force-conflicts"]
        return [*words, *([] if hooks else ["--no-hooks"])]

    def rollback(self, name: str, revision: int, namespace: str, *, timeout: int, hooks: bool = True) -> Argv:
        """Bring a release back to a revision, and wait."""
        words = [*self._command("rollback", name, str(revision)), "--namespace", namespace]
        words += ["--wait" if self.tool.major < 4 else "--wait=watcher", "--timeout", f"{timeout}s"]
        if self.tool.major >= 4:
            words.append("--force-conflicts")
        return [*words, "--cleanup-on-fail", *([] if hooks else ["--no-hooks"])]

    def uninstall(self, name: str, namespace: str, *, timeout: int) -> Argv:
        """Take a release away, and wait until its objects are gone."""
        words = [*self._command("uninstall", name), "--namespace", namespace, "--timeout", f"{timeout}s"]
        return [*words, "--wait" if self.tool.major < 4 else "--wait=watcher", "--ignore-not-found"]

    def crds(self, chart: Sequence[str]) -> Argv:
        """A chart's custom resource definitions, those of its subcharts among them."""
        return [self.tool.path, "show", "crds", *chart]

    def pull(self, chart: Sequence[str], directory: Path) -> Argv:
        """Get a chart's package into a directory."""
        return [self.tool.path, "pull", *chart, "--destination", str(directory)]


def _revision(revision: int | None) -> Argv:
    return [] if revision is None else ["--revision", str(revision)]
