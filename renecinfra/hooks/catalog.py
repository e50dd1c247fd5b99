"""Which hooks an environment has. Each is imported only when it is asked for."""

from __future__ import annotations

from renecinfra.errors import HookError
from renecinfra.hooks.protocol import AwsHookContext, Hook, HookContext
from renecinfra.profiles.model import Profile


def hooks_for(profile: Profile) -> list[Hook[HookContext]]:
    """The hooks of the profile's platform, disabled ones among them.

    Raises:
        HookError: there are none for this platform yet.
    """
    if profile.platform.kind != "local":
        raise HookError(
            "hooks-unsupported",
            f"this version of renecinfra has no hooks for platform {profile.platform.kind}",
            hint="environments on the local platform have them",
        )
    from renecinfra.hooks.monitoring import MonitoringHook
    from renecinfra.hooks.workers import WorkersHook

    hooks: list[Hook[HookContext]] = [MonitoringHook(), WorkersHook()]
    if profile.backups.enabled:
        from renecinfra.hooks.backups import BackupsHook

        # Last: the first backup is taken while the others do their work.
        hooks.append(BackupsHook())
    return hooks


def aws_hooks() -> list[Hook[AwsHookContext]]:
    """The hooks of an environment in AWS, disabled ones among them."""
    from renecinfra.hooks.aws_backups import BackupsHook
    from renecinfra.hooks.aws_database import DatabaseHook
    from renecinfra.hooks.aws_monitoring import MonitoringHook

    return [DatabaseHook(), BackupsHook(), MonitoringHook()]
