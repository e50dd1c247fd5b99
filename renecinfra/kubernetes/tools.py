"""Which helm and kubectl run, and against which cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from renecinfra import process
from renecinfra.errors import ToolError

HELM_VARIABLE: Final = "RENECINFRA_HELM"
KUBECTL_VARIABLE: Final = "RENECINFRA_KUBECTL"
HELM_MINIMUM: Final = (3, 17)
KUBECTL_MINIMUM: Final = (1, 28)
_SECONDS: Final = 20
_INSTALL: Final = {
    "helm": "install Helm 3.17 or newer (helm.sh/docs/intro/install)",
    "kubectl": "install kubectl 1.28 or newer (kubernetes.io/docs/tasks/tools)",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A context of a kubeconfig; of the user's usual one (KUBECONFIG) where ``kubeconfig`` is None."""

    context: str
    kubeconfig: Path | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A binary and its version."""

    path: str
    version: tuple[int, ...]

    @property
    def major(self) -> int:
        """The version's first number: what Helm's flags depend on."""
        return self.version[0]


@dataclass(frozen=True, slots=True)
class Tools:
    """What a cluster is worked on with."""

    helm: Tool
    kubectl: Tool


def find_tools(environ: Mapping[str, str] | None = None) -> Tools:
    """The binaries to use, with their versions.

    Raises:
        ToolError: one is missing, too old, or does not say its version.
    """
    environ = os.environ if environ is None else environ
    return Tools(find_helm(environ), find_kubectl(environ))


def find_helm(environ: Mapping[str, str]) -> Tool:
    """Helm 3.17 or newer.

    Raises:
        ToolError: it is missing, too old, or does not say its version.
    """
    path = _path("helm", HELM_VARIABLE, environ)
    printed = _ask([path, "version", "--template", "{{.Version}}"], environ)
    return _checked("helm", path, printed, HELM_MINIMUM)


def find_kubectl(environ: Mapping[str, str]) -> Tool:
    """A kubectl of 1.28 or newer.

    Raises:
        ToolError: it is missing, too old, or does not say its version.
    """
    path = _path("kubectl", KUBECTL_VARIABLE, environ)
    printed = _ask([path, "version", "--client", "--output=json"], environ)
    try:
        version = str(json.loads(printed)["clientVersion"]["gitVersion"])
    except (ValueError, KeyError, TypeError):
        version = printed
    return _checked("kubectl", path, version, KUBECTL_MINIMUM)


def _path(name: str, variable: str, environ: Mapping[str, str]) -> str:
    named = environ.get(variable)
    found = shutil.which(named or name, path=environ.get("PATH", os.defpath))
    if found is not None:
        return str(Path(found).absolute())
    if named:
        message = f"{variable} names {named}, which is not an executable file"
        raise ToolError(
            "cluster-tool-missing", message, hint=f"correct {variable}, or unset it to use {name} of PATH"
        )
    raise ToolError(
        "cluster-tool-missing",
        f"{name} is not on PATH",
        hint=f"{_INSTALL[name]}, or name one with {variable}",
    )


def _ask(argv: list[str], environ: Mapping[str, str]) -> str:
    # Nothing of a kubeconfig is needed for it, and a broken one must not be in the way.
    env = {"PATH": environ.get("PATH", os.defpath), "HOME": environ.get("HOME", "/")}
    return process.run(argv, env=env, timeout=_SECONDS, check=False).stdout


def _checked(name: str, path: str, printed: str, minimum: tuple[int, int]) -> Tool:
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", printed)
    if match is None:
        raise ToolError(
            "cluster-tool-unknown", f"{path} does not say its version", hint=f"reinstall it: {_INSTALL[name]}"
        )
    version = tuple(int(part) for part in match.groups())
    if version < minimum:
        shown, needed = ".".join(map(str, version)), ".".join(map(str, minimum))
        raise ToolError(
            "cluster-tool-old",
            f"{path} is {name} {shown}, and {needed} or newer is needed",
            hint=_INSTALL[name],
        )
    return Tool(path, version)
