"""The environment that Terraform runs in: the caller's, without what would change its meaning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

# They would select another state or another .terraform than the one that belongs to the environment.
_STEERING = ("TF_WORKSPACE", "TF_DATA_DIR")


@dataclass(frozen=True, slots=True)
class TerraformEnvironment:
    """The variables, and one line for each of the caller's that was left out."""

    variables: dict[str, str]
    notes: tuple[str, ...]


def terraform_environment(environ: Mapping[str, str]) -> TerraformEnvironment:
    """``environ`` for Terraform in automation.

    The user's CLI configuration stays in force (it holds credentials and mirrors), unless
    TF_CLI_CONFIG_FILE names a file that cannot be read: then an empty one is used, because Terraform
    would warn or fail on every command, even where it needs no provider.
    """
    variables = dict(environ)
    notes = []
    for name in sorted(variables):
        if name.startswith("TF_CLI_ARGS") or name in _STEERING:
            del variables[name]
            notes.append(f"{name} is set, and is not passed on to Terraform")
    configuration = variables.get("TF_CLI_CONFIG_FILE")
    if configuration is not None and not os.access(configuration, os.R_OK):
        variables["TF_CLI_CONFIG_FILE"] = os.devnull
        notes.append(f"TF_CLI_CONFIG_FILE names {configuration}, which cannot be read: it is not used")
    variables |= {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
    return TerraformEnvironment(variables, tuple(notes))
