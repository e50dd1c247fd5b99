"""kubectl's command lines. Pure: they are built here, and run in ``cluster`` alone."""

from __future__ import annotations

from dataclasses import dataclass

from renecinfra.kubernetes.tools import Target, Tool

Argv = list[str]
MANAGER = "renecinfra"
"""Whose fields they are that we apply."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Builds command lines for one kubectl and one cluster."""

    tool: Tool
    target: Target

    def _command(self, *words: str) -> Argv:
        kubeconfig = ["--kubeconfig", str(self.target.kubeconfig)] if self.target.kubeconfig else []
        return [self.tool.path, "--context", self.target.context, *kubeconfig, *words]

    def version(self) -> Argv:
        """The server's version and our own."""
        return self._command("version", "--output=json", "--request-timeout=10s")

    def contexts(self) -> Argv:
        """The names of the kubeconfig's contexts."""
        kubeconfig = ["--kubeconfig", str(self.target.kubeconfig)] if self.target.kubeconfig else []
        return [self.tool.path, *kubeconfig, "config", "get-contexts", "--output=name"]

    def api_versions(self) -> Argv:
        """Every group and version that the server has."""
        return self._command("api-versions", "--request-timeout=10s")

    def get(self, kind: str, namespace: str | None = None, *, selector: str | None = None) -> Argv:
        """Objects of a kind as JSON; of the whole cluster without a namespace."""
        where = ["--namespace", namespace] if namespace else ["--all-namespaces"]
        labels = ["--selector", selector] if selector else []
        return self._command("get", kind, *where, *labels, "--output=json", "--request-timeout=15s")

    def named(self, kind: str, name: str) -> Argv:
        """One object of the whole cluster as JSON; nothing where it is not there."""
        return self._command(
            "get", kind, name, "--ignore-not-found", "--output=json", "--request-timeout=15s"
        )

    def get_all(self, namespace: str) -> Argv:
        """The objects of a manifest on standard input as they are now, with who wrote them."""
        where = ["--namespace", namespace, "--filename=-", "--ignore-not-found", "--show-managed-fields"]
        return self._command("get", *where, "--output=json", "--request-timeout=60s")

    def raw(self, path: str) -> Argv:
        """A GET of the API itself: a Service's answer through the API server's proxy, say."""
        return self._command("get", "--raw", path, "--request-timeout=15s")

    def can_i(self, verb: str, resource: str, namespace: str) -> Argv:
        """Whether we may."""
        return self._command("auth", "can-i", verb, resource, "--namespace", namespace, "--quiet")

    def apply(self, namespace: str | None = None) -> Argv:
        """Apply what comes on standard input; the fields that we name are ours."""
        where = ["--namespace", namespace] if namespace else []
        owner = ["--server-side", "--force-conflicts", f"--field-manager={MANAGER}"]
        return self._command("apply", *owner, *where, "--filename=-")

    def delete(self, kind: str, names: tuple[str, ...], namespace: str) -> Argv:
        """Delete objects, and wait until they are gone."""
        words = ["delete", kind, *names, "--namespace", namespace, "--ignore-not-found", "--wait"]
        return self._command(*words, "--timeout=120s")

    def logs(self, selector: str, namespace: str, *, lines: int, follow: bool = False) -> Argv:
        """The last lines of every container that a selector finds, each with its pod's name."""
        words = ["logs", "--selector", selector, "--namespace", namespace, f"--tail={lines}"]
        words += ["--all-containers", "--prefix", "--max-log-requests=50"]
        return self._command(*words, *(["--follow"] if follow else []))
