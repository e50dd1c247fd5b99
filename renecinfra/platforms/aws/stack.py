"""The Terraform root of an environment in AWS: the static stack and modules, and what the profile adds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from renecinfra import rendering
from renecinfra.platforms.aws import variables as values
from renecinfra.profiles.model import Profile
from renecinfra.rendering import Bundle, RenderedFile, Renderer

ROOT: Final = "stacks/aws"
"""Where Terraform works, below the environment's Terraform directory."""
VALUES: Final = f"{ROOT}/environment.auto.tfvars.json"
_TEMPLATES: Final = "terraform/aws"
_RENDERED: Final = ("backend.tf", "provider.tf")
_SUFFIXES: Final = (".tf",)


def bundle(profile: Profile, renderer: Renderer, terraform: Path, variables: Mapping[str, Any]) -> Bundle:
    """Every file of the root, by its path below the environment's Terraform directory. Holds no secret.

    Args:
        profile: the environment's.
        renderer: of the workspace's templates.
        terraform: the workspace's ``terraform`` directory.
        variables: see ``variables.variables``.

    Raises:
        ProfileError: a template does not render.
    """
    files = dict(_static(terraform))
    context = {
        "environment": profile.environment,
        "platform": values.aws(profile),
        "backend": values.backend(profile),
        "kms_key": values.state_key_arn(profile),
    }
    for name in _RENDERED:
        files[f"{ROOT}/{name}"] = renderer.file(f"{_TEMPLATES}/{name}.j2", name, context)
    files[VALUES] = RenderedFile(json.dumps(variables, indent=2, ensure_ascii=False) + "\n")
    return files


def _static(terraform: Path) -> dict[str, RenderedFile]:
    """The stack and the modules, as they are; tests and readings for people stay behind."""
    found = {}
    for base in (ROOT, "modules"):
        for path in sorted((terraform / base).rglob("*")):
            relative = path.relative_to(terraform)
            if path.suffix in _SUFFIXES and ".terraform" not in relative.parts and path.is_file():
                found[relative.as_posix()] = RenderedFile(path.read_text(encoding="utf-8"))
    return found


def write(files: Bundle, directory: Path) -> None:
    """Bring Terraform's directory to the bundle; leaves .terraform and the provider's lock file alone."""
    for name, file in files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not target.is_file() or target.read_text(encoding="utf-8") != file.text:
            rendering.write_atomically(target, file.text, file.mode)
    for stale in directory.rglob("*"):
        relative = stale.relative_to(directory)
        ours = stale.suffix in (*_SUFFIXES, ".json") and ".terraform" not in relative.parts
        if ours and stale.is_file() and relative.as_posix() not in files:
            stale.unlink()
