"""Access to the cluster for the length of a block, by a file that is gone afterwards.

The file holds no secret: clients run a command of ours for a token, which AWS makes from the credentials at
hand and which is worth nothing after a quarter of an hour.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import told
from renecinfra.sensitive import Secret

_PREFIX: Final = "k8s-aws-v1."
_CLUSTER_HEADER: Final = "x-k8s-aws-id"
_SIGNED_SECONDS: Final = 60
_LIFE: Final = timedelta(minutes=14)
"""The cluster takes a token for 15 minutes; a client asks for the next one before that."""
_API: Final = "client.authentication.k8s.io/v1"


@contextmanager
def kubeconfig(
    environment: str, cluster: Mapping[str, Any], workspace: Path, overrides: tuple[str, ...] = ()
) -> Iterator[Path]:
    """A kubeconfig for the cluster of ``outputs["cluster"]``, 0600 and gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="renecinfra-") as directory:
        path = Path(directory) / "kubeconfig.json"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document(environment, cluster, workspace, overrides), file)
        yield path


def document(
    environment: str, cluster: Mapping[str, Any], workspace: Path, overrides: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The kubeconfig's content."""
    arguments = ["-m", "renecinfra", "cluster-token", environment]
    for override in overrides:
        arguments += ["--set", override]
    command = {
        "apiVersion": _API,
        "command": sys.executable,
        "args": arguments,
        "env": [{"name": "RENECINFRA_WORKSPACE", "value": str(workspace)}],
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }
    name = cluster["name"]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": cluster["endpoint"],
                    "certificate-authority-data": cluster["certificate_authority"],
                },
            }
        ],
        "users": [{"name": name, "user": {"exec": command}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def token(aws: Aws, cluster: str) -> Secret:
    """A token for the cluster: a signed request to AWS, by which the cluster learns who we are.

    Raises:
        ToolError: there are no credentials.
    """
    client = aws.client("sts")

    def name_cluster(request: Any, **_: Any) -> None:
        request.headers[_CLUSTER_HEADER] = cluster

    client.meta.events.register_first("before-sign.sts.GetCallerIdentity", name_cluster, unique_id=cluster)
    try:
        with told("signing a token for the cluster"):
            url = client.generate_presigned_url(
                "get_caller_identity", ExpiresIn=_SIGNED_SECONDS, HttpMethod="GET"
            )
    finally:
        client.meta.events.unregister("before-sign.sts.GetCallerIdentity", name_cluster, unique_id=cluster)
    return Secret(_PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("="))


def credential(secret: Secret) -> dict[str, Any]:
    """The answer that Kubernetes clients expect of a command that gives them credentials. Holds the token."""
    end = datetime.now(UTC) + _LIFE
    return {
        "apiVersion": _API,
        "kind": "ExecCredential",
        "status": {"token": secret.reveal(), "expirationTimestamp": f"{end:%Y-%m-%dT%H:%M:%SZ}"},
    }
