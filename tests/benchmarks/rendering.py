"""Two hundred environments, loaded and rendered, against copying as many rendered bytes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from renecinfra.platforms.local.environment import LocalEnvironment
from renecinfra.profiles.loading import load
from renecinfra.rendering import Bundle, write
from renecinfra.workspace import Workspace
from tests.benchmarks.measuring import Result

ROOT = Path(__file__).parents[2]
COUNT = 200


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as directory:
        workspace = Workspace(Path(directory))
        for part in ("environments", "templates", "terraform"):
            shutil.copytree(ROOT / part, workspace.root / part)
        names = [f"many-{number}" for number in range(COUNT)]
        for name in names:
            text = f"extends: local\nenvironment: {name}\n"
            (workspace.environments / f"{name}.yaml").write_text(text)
        started = time.perf_counter()
        bundles = [_render(workspace, name) for name in names]
        rendered = time.perf_counter() - started
        started = time.perf_counter()
        for name, bundle in zip(names, bundles, strict=True):
            write(bundle, workspace.root / "out" / name)
        written = time.perf_counter() - started
    files = sum(len(bundle) for bundle in bundles)
    size = sum(len(file.text) for bundle in bundles for file in bundle.values()) / 2**20
    detail = f"{files} files, {size:.0f} MiB; writing them takes {written:.1f} s"
    yield Result(f"loading and rendering {COUNT} environments", rendered, "s", 1.0, detail)


def _render(workspace: Workspace, name: str) -> Bundle:
    environment = LocalEnvironment(workspace, load(workspace, name, environ={}).profile)
    return environment.bundle(dict.fromkeys(environment.references(), 1))
